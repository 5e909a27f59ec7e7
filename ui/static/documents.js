// The documents in a place of their own: filter, sort, select, remove; one tab stop, arrow keys inside.
// Events: 'remove' 'open' 'dismiss' 'same' 'scope' 'sync' 'unsync' 'fetch'
const state = {filter: '', sort: 'name', picked: new Set(), at: 0, opener: null};
const rows = () => [...element.querySelectorAll('.list > .doc[data-added]')];
const shown = () => rows().filter(row => !row.hidden);
const box = row => row.querySelector('input[type=checkbox]');
const opened = () => document.body.classList.contains('documents');
const open = () => {
  state.opener = document.activeElement;
  document.body.classList.add('documents');
  (element.querySelector('.dtools input[type=search]') ?? element.querySelector('[data-close]'))?.focus();
};
const close = () => { document.body.classList.remove('documents'); state.opener?.focus?.(); };
const order = {
  name: (a, b) => a.querySelector('.dn').title.localeCompare(b.querySelector('.dn').title, undefined, {numeric: true}),
  added: (a, b) => b.dataset.added - a.dataset.added,
  kind: (a, b) => a.dataset.kind.localeCompare(b.dataset.kind) || order.name(a, b),
  pages: (a, b) => b.dataset.pages - a.dataset.pages || order.name(a, b),
};
const count = () => {
  const all = rows(), seen = shown(), many = element.querySelector('[data-many]'), whole = element.querySelector('.all');
  if (!many) return;
  const picked = all.filter(row => box(row).checked);
  state.picked = new Set(picked.map(row => box(row).value));
  many.disabled = !picked.length;
  const only = element.querySelector('[data-only]');
  if (only) only.disabled = !picked.length;
  many.textContent = picked.length ? 'Remove selected (' + picked.length + ')' : 'Remove selected';
  element.querySelector('.shown').textContent = seen.length === all.length ? '' : seen.length + ' of ' + all.length;
  whole.checked = seen.length > 0 && seen.every(row => box(row).checked);
};
const stop = () => {
  const seen = shown();
  state.at = Math.max(0, Math.min(state.at, seen.length - 1));
  rows().forEach(row => { row.querySelector('.dn').tabIndex = -1; });
  if (seen.length) seen[state.at].querySelector('.dn').tabIndex = 0;
  return seen[state.at];
};
const arrange = () => {
  const list = element.querySelector('.list'), wanted = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const sorted = rows().sort(order[state.sort]);
  for (const row of sorted) {
    const name = row.querySelector('.dn').title.toLowerCase();
    row.hidden = !wanted.every(word => name.includes(word));
    box(row).checked = state.picked.has(box(row).value);
  }
  const byFolder = state.sort === 'name', groups = [...element.querySelectorAll('.list > .group')];
  for (const group of groups) {
    const inside = byFolder ? sorted.filter(row => row.dataset.folder === group.dataset.folder) : [];
    group.hidden = inside.every(row => row.hidden);
    list.append(group, ...inside);
  }
  if (list && !(groups.length && byFolder)) list.append(...sorted);
  count();
  stop();
};
watch('value', () => {
  const search = element.querySelector('.dtools input[type=search]'), sort = element.querySelector('.dtools select');
  if (search) search.value = state.filter;
  if (sort) sort.value = state.sort;
  arrange();
  const said = document.querySelector('#docsum .said'), sum = element.querySelector('.sync');
  if (said && sum) said.innerHTML = sum.innerHTML;
  if (element.querySelector('.decide') && !opened() && !document.querySelector('dialog[open]')) open();
});
const remove = async picked => {
  const names = picked.map(row => row.querySelector('.dn').title);
  const told = names.length === 1 ? '“' + names[0] + '”' : names.slice(0, 3).map(name => '“' + name + '”').join(', ') + (names.length > 3 ? ' and ' + (names.length - 3) + ' more' : '');
  const said = await window.ragPage.ask({title: names.length === 1 ? 'Remove this document?' : 'Remove ' + names.length + ' documents?',
    text: told + ' will no longer be searched or cited. The files on your disk stay.', ok: 'Remove', danger: true});
  if (said === null) return;
  state.picked.clear();
  trigger('remove', {id: picked.map(row => box(row).value).join(',')});
};
const ask = (documents, folders) => { trigger('scope', {documents, folders}); close(); if (innerWidth <= 1000) document.querySelector('#left.open .toggle-button')?.click(); document.querySelector('#box textarea')?.focus(); };
const addFolder = async () => {
  const path = await window.ragPage.ask({title: 'Sync a folder', ok: 'Sync', value: '',
    text: 'The whole path of a folder of this machine. This collection then holds what is in it: new, changed and removed files are taken over each time it is synced.'});
  if (path) trigger('sync', {name: path});
};
const addAddress = async () => {
  const address = await window.ragPage.ask({title: 'Add a web page', ok: 'Add', value: 'https://',
    text: 'Its address. This one page is fetched by the machine that this program runs on, without its pictures and links, and is cited with the address and the day.'});
  if (address) trigger('fetch', {name: address});
};
const unsync = async path => {
  const said = await window.ragPage.ask({title: 'Sync this folder no longer?', text: path + ' stays as it is, and so do its documents here.', ok: 'Stop syncing'});
  if (said) trigger('unsync', {id: path});
};
element.addEventListener('click', e => {
  const row = e.target.closest('.doc[data-added]'), button = e.target.closest('button');
  if (row) state.at = Math.max(0, shown().indexOf(row));
  if (e.target.matches('.all')) shown().forEach(each => { box(each).checked = e.target.checked; });
  if (e.target.matches('input[type=checkbox]')) count();
  if (!button) return;
  const {act, id, choice} = button.dataset;
  if ('close' in button.dataset) close();
  else if ('many' in button.dataset) remove(rows().filter(each => box(each).checked));
  else if ('only' in button.dataset) ask(rows().filter(each => box(each).checked).map(each => each.querySelector('.dn').title), []);
  else if ('folderAsk' in button.dataset) ask([], [button.dataset.folderAsk]);
  else if ('addfolder' in button.dataset) addFolder();
  else if ('addaddress' in button.dataset) addAddress();
  else if (act === 'sync') trigger('sync', {name: id});
  else if (act === 'unsync') unsync(id);
  else if (act === 'remove') remove([row]);
  else if (act) trigger(act, {id, choice: choice ?? ''});
});
element.addEventListener('input', e => {
  if (e.target.matches('input[type=search]')) { state.filter = e.target.value; arrange(); }
  if (e.target.matches('select')) { state.sort = e.target.value; arrange(); }
});
element.addEventListener('keydown', e => {
  const row = e.target.closest('.doc[data-added]');
  if (e.target.matches('input[type=search]') && e.key === 'ArrowDown') { e.preventDefault(); stop()?.querySelector('.dn').focus(); return; }
  if (!row) return;
  const step = {ArrowDown: 1, ArrowUp: -1, Home: -1e9, End: 1e9, PageDown: 10, PageUp: -10}[e.key];
  if (step) { state.at = shown().indexOf(row) + step; stop().querySelector('.dn').focus(); }
  else if (e.key === ' ') { box(row).checked = !box(row).checked; count(); }
  else if (e.key === 'Delete') { const picked = rows().filter(each => box(each).checked); remove(picked.length ? picked : [row]); }
  else return;
  e.preventDefault();
});
document.addEventListener('click', e => { if (e.target.closest?.('[data-documents]')) opened() ? close() : open(); });
document.addEventListener('keydown', e => {
  if (e.key !== 'Escape' || !opened() || document.body.classList.contains('reading') || document.querySelector('dialog[open]')) return;
  e.stopImmediatePropagation();
  close();
}, true);
