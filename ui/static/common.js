// A page that is left ends its own requests, and Gradio calls each of them an error in the console, before or after any
// listener of ours is asked: what was ended on purpose, and the connection that went with it, is no error.
(() => {
  const told = console.error;
  let ended = -Infinity;
  console.error = (...said) => {
    if (said[0]?.name === 'AbortError') ended = performance.now();
    else if (performance.now() - ended > 1000 || !said.join(' ').includes('Connection errored out')) told.apply(console, said);
  };
  addEventListener('unhandledrejection', e => { if (e.reason?.name === 'AbortError') e.preventDefault(); });
})();

// What several scripts of the page share: one dialog for confirmations, names and choices.
window.ragPage = (() => {
  let dialog = null;
  const build = () => {
    dialog = document.createElement('dialog');
    dialog.id = 'ask-dialog';
    dialog.innerHTML = '<form method="dialog"><h2></h2><p></p><input type="text" maxlength="100" aria-label="Name"><select aria-label="Choice"></select>' +
      '<div class="row"><button value="no" type="submit" class="no">Cancel</button>' +
      '<button value="yes" type="submit" class="yes"></button></div></form>';
    document.body.append(dialog);
  };
  // Resolves to the text (or true) when confirmed, to null when not. All texts are set as text, never as HTML.
  const ask = ({title, text = '', ok, value = null, danger = false, options = null}) => new Promise(resolve => {
    if (!dialog) build();
    const [line, select] = dialog.querySelectorAll('input, select'), input = options ? select : line, yes = dialog.querySelector('.yes');
    dialog.querySelector('h2').textContent = title;
    dialog.querySelector('p').textContent = text;
    dialog.querySelector('p').hidden = !text;
    select.replaceChildren(...(options ?? []).map(option => new Option(option)));
    line.hidden = value === null || !!options;
    select.hidden = !options;
    input.value = value ?? '';
    yes.textContent = ok;
    yes.classList.toggle('danger', danger);
    dialog.returnValue = '';
    dialog.onclose = () => resolve(dialog.returnValue === 'yes' ? (value === null ? true : input.value.trim()) : null);
    dialog.showModal();
    (value === null ? dialog.querySelector('.no') : input).focus();
    if (value !== null && !options) input.select();
  });
  // Enter in the name field confirms; the browser would otherwise press the first button of the form.
  document.addEventListener('keydown', e => {
    if (e.key === 'Enter' && dialog?.open && e.target.tagName === 'INPUT') { e.preventDefault(); dialog.close('yes'); }
  });
  return {ask, calm: () => matchMedia('(prefers-reduced-motion: reduce)').matches};
})();
