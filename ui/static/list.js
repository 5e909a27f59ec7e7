// Lists in the sidebar: one listener; what cannot be undone is asked first.
// Events: 'pick' 'rename' 'delete' 'find' 'create' 'pull' 'cancel' 'check' 'reindex'
const quoted = b => '“' + (b.dataset.name || '') + '”';
const questions = {
  delete: b => ({title: 'Delete this ' + (b.dataset.what || 'conversation') + '?', text: quoted(b) + (b.dataset.what ? ' and all its documents will be removed from the library.' : ' will be gone.'), ok: 'Delete', danger: true}),
  rename: b => ({title: 'Rename', ok: 'Rename', value: b.dataset.name || ''}),
  reindex: b => ({title: 'Search this collection with another model?', text: 'Every passage is read by it once (embedded). Until that is done, searches go on as before.', ok: 'Start', value: b.dataset.name, options: b.dataset.options.split('\n')}),
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
