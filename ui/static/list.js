// Lists in the sidebar: one listener; what cannot be undone is asked first.
// Events: 'pick' 'rename' 'delete' 'find' 'create' 'pull' 'cancel' 'check' 'reindex' 'drop' 'all' 'about' 'ask'
const quoted = b => '“' + (b.dataset.name || '') + '”';
const questions = {
  delete: b => ({title: 'Delete this ' + (b.dataset.what || 'conversation') + '?', text: quoted(b) + (b.dataset.what ? ' and all its documents will be removed from the library.' : ' will be gone.'), ok: 'Delete', danger: true}),
  rename: b => ({title: 'Rename', ok: 'Rename', value: b.dataset.name || ''}),
  reindex: b => ({title: 'Search this collection with another model?', text: 'Every passage is read by it once. Until that is done, searches go on as before.', ok: 'Start', value: b.dataset.name, options: b.dataset.options.split('\n')}),
  create: () => ({title: 'New collection', text: 'Documents in it are searched apart from the others.', ok: 'Create', value: ''}),
};
element.addEventListener('click', async e => {
  const b = e.target.closest('button[data-act]');
  if (!b) return;
  const act = b.dataset.act, question = questions[act];
  const said = question ? await window.ragPage.ask(question(b)) : true;
  if (said === null || said === '') return;
  trigger(act, {id: b.dataset.id || '', name: typeof said === 'string' ? said : ''});
});
let timer = 0;
element.addEventListener('input', e => {
  if (!e.target.matches('input[type=search]')) return;
  clearTimeout(timer);
  timer = setTimeout(() => trigger('find', {name: e.target.value}), 200);
});
// A list of conversations is one tab stop: arrow keys inside, F2 renames, Delete deletes.
const picks = () => [...element.querySelectorAll('.conv .pick')];
const rove = wanted => {
  const all = picks(), stop = wanted ?? all.find(pick => pick.ariaCurrent === 'true') ?? all[0];
  all.forEach(pick => { pick.tabIndex = pick === stop ? 0 : -1; });
  return stop;
};
if (element.closest('#hist')) {
  watch('value', () => {
    const had = document.activeElement === document.body && element.dataset.at;
    const stop = rove(picks().find(pick => pick.dataset.id === element.dataset.at));
    if (had) stop?.focus();
  });
  element.addEventListener('focusin', e => {
    const pick = e.target.closest('.conv')?.querySelector('.pick');
    if (pick) { rove(pick); element.dataset.at = pick.dataset.id; }
  });
  element.addEventListener('focusout', e => { if (e.relatedTarget) delete element.dataset.at; });
  element.addEventListener('keydown', e => {
    const row = e.target.closest('.conv');
    if (!row) return;
    const all = picks(), at = all.indexOf(row.querySelector('.pick'));
    const step = {ArrowDown: 1, ArrowUp: -1, Home: -1e9, End: 1e9, PageDown: 10, PageUp: -10}[e.key];
    if (step) all[Math.max(0, Math.min(at + step, all.length - 1))].focus();
    else if (e.key === 'F2' || e.key === 'Delete') row.querySelector('[data-act=' + (e.key === 'F2' ? 'rename' : 'delete') + ']').click();
    else return;
    e.preventDefault();
  });
}
