// A page that is being left ends its own requests, and Gradio tells each of them to the console as an error, before it is
// known here that the page is being left. So what was ended waits for a moment, and is told if the page stays.
(() => {
  const told = console.error, ended = said => said?.name === 'AbortError' || String(said).includes('Connection errored out');
  let leaving = false;
  addEventListener('beforeunload', () => { leaving = true; setTimeout(() => { leaving = false; }, 10000); });
  const unlessLeft = tell => setTimeout(() => { if (!leaving) tell(); }, 500);
  console.error = (...said) => { if (said.some(ended)) unlessLeft(() => told.apply(console, said)); else told.apply(console, said); };
  addEventListener('unhandledrejection', e => {
    if (!ended(e.reason)) return;
    e.preventDefault();
    unlessLeft(() => told.call(console, 'Uncaught (in promise)', e.reason));
  });
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
  // Whether the text is in the clipboard now. Away from HTTPS and this machine browsers have only the old way.
  const copy = async text => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = Object.assign(document.createElement('textarea'), {value: text, className: 'sr'}), had = document.activeElement;
      document.body.append(area);
      area.select();
      const copied = document.execCommand('copy');
      area.remove();
      had?.focus?.({preventScroll: true});
      return copied;
    }
  };
  return {ask, copy, calm: () => matchMedia('(prefers-reduced-motion: reduce)').matches};
})();

// A list that is drawn anew between the pressing and the letting go of a mouse button takes the button under it away, and
// there is no click. The same button of the new list has it, if that one is under the pointer.
(() => {
  let pressed = null, same = '';
  const button = target => target?.closest?.('button, [data-act]') ?? null;
  document.addEventListener('pointerdown', e => { pressed = button(e.target); same = pressed?.outerHTML; }, true);
  document.addEventListener('pointerup', e => {
    const now = pressed?.isConnected === false ? button(e.target) : null;
    pressed = null;
    if (now?.outerHTML === same) now?.click();
  }, true);
})();
