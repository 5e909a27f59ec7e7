// Files from the button or dropped anywhere: sent one after the other, each with its progress. Events: 'added'
const rows = element.querySelector('.sending'), input = element.querySelector('input[type=file]');
const limit = Number(element.querySelector('[data-limit]').dataset.limit);
const waiting = [];
let sending = false, request = null;
const row = source => {
  const li = document.createElement('li');
  li.className = 'doc file sending';
  li.innerHTML = '<span class="ext">↑</span><span class="dn"><span></span><small>Waiting…</small><progress max="100" value="0"></progress></span><button type="button" title="Cancel">✕</button>';
  li.querySelector('.dn span').textContent = source;
  li.querySelector('progress').setAttribute('aria-label', 'Upload of ' + source);
  li.querySelector('button').setAttribute('aria-label', 'Cancel ' + source);
  rows.append(li);
  return li;
};
const say = (li, text, bad) => {
  const small = li.querySelector('small');
  small.textContent = text;
  small.classList.toggle('bad', !!bad);
  if (bad) { li.classList.add('failed'); li.querySelector('progress')?.remove(); li.querySelector('button').setAttribute('aria-label', 'Dismiss'); }
};
const add = (file, source) => {
  const collection = document.querySelector('#coll input')?.value ?? '';  // the one that is shown now, not when its turn comes
  const item = {file, source, collection, li: row(source), gone: false};
  item.li.querySelector('button').addEventListener('click', () => {
    item.gone = true;
    item.li.remove();
    if (item.request) item.request.abort();
  });
  if (file.size > limit) { say(item.li, 'Failed: larger than ' + Math.round(limit / 2**20) + ' MB, the limit for a file.', true); return; }
  waiting.push(item);
  next();
};
const next = () => {
  if (sending) return;
  const item = waiting.shift();
  if (!item) return;
  if (item.gone) return next();
  sending = true;
  const r = item.request = new XMLHttpRequest();
  r.open('POST', 'upload?' + new URLSearchParams({name: item.source, collection: item.collection}));
  r.upload.onprogress = e => {
    if (!e.lengthComputable) return;
    const percent = Math.round(100 * e.loaded / e.total);
    item.li.querySelector('progress').value = percent;
    say(item.li, 'Uploading… ' + percent + ' %');
  };
  r.onload = () => {
    if (r.status === 200) { item.li.remove(); trigger('added', {}); }
    else say(item.li, 'Failed: ' + r.responseText.slice(0, 300), true);
  };
  r.onerror = () => say(item.li, 'Failed: the connection to the program was lost.', true);
  r.onloadend = () => { sending = false; next(); };
  r.send(item.file);
};
const hidden = path => path.split('/').some(part => part.startsWith('.'));
const take = files => { for (const file of files) if (!hidden(file.webkitRelativePath)) add(file, file.webkitRelativePath || file.name); };
element.addEventListener('change', e => {
  if (e.target.type !== 'file') return;
  take(e.target.files);
  e.target.value = '';
});
// A dropped folder: walk it; names keep their path inside it.
const walk = entry => new Promise(done => {
  if (entry.isFile) return entry.file(file => { add(file, entry.fullPath.replace(/^\//, '')); done(); }, done);
  const reader = entry.createReader();
  const more = () => reader.readEntries(async entries => {
    if (!entries.length) return done();
    for (const child of entries) if (!child.name.startsWith('.')) await walk(child);
    more();
  }, done);
  more();
});
let depth = 0;
const drag = on => document.body.classList.toggle('drag', on);
const carries = e => [...(e.dataTransfer?.types || [])].includes('Files');
addEventListener('dragenter', e => { if (carries(e)) { depth++; drag(true); } });
addEventListener('dragleave', e => { if (carries(e) && --depth <= 0) { depth = 0; drag(false); } });
addEventListener('dragover', e => { if (carries(e)) e.preventDefault(); });
addEventListener('drop', e => {
  depth = 0;
  drag(false);
  if (!carries(e)) return;
  e.preventDefault();
  const entries = [...(e.dataTransfer.items || [])].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.some(entry => entry.isDirectory)) entries.forEach(walk);
  else take(e.dataTransfer.files);
});
