// Theme, phone layout, scrolling of the chat, names of buttons that Gradio leaves without one.
const stored = localStorage.getItem('rag.theme');
if (stored) document.body.classList.toggle('dark', stored === 'dark');
element.addEventListener('click', e => {
  const act = e.target.closest('[data-act]')?.dataset.act;
  if (act === 'theme') localStorage.setItem('rag.theme', document.body.classList.toggle('dark') ? 'dark' : 'light');
  if (act === 'sheet') document.body.classList.toggle('sheet');
  if (act === 'settings') settings(!document.body.classList.contains('settings'));
});
// Settings: a panel of their own; the focus goes in and comes back.
let opener = null;
const settings = open => {
  if (open) opener = document.activeElement;
  document.body.classList.toggle('settings', open);
  if (open) document.querySelector('#settings [data-act=close-settings]').focus();
  else opener?.focus?.();
};
document.addEventListener('click', e => {
  if (e.target.closest?.('[data-act=close-settings]')) settings(false);
  if (e.target.closest?.('[data-skip]')) document.querySelector('#box textarea')?.focus();
});
document.addEventListener('keydown', e => {
  if (e.key !== 'Escape' || !document.body.classList.contains('settings') || document.querySelector('dialog[open], [role=listbox]')) return;
  e.stopImmediatePropagation();
  settings(false);
}, true);
if (innerWidth <= 1000) setTimeout(() => document.querySelector('#left.open .toggle-button')?.click(), 0);

// Follow the answer only while the reader is at its end: Gradio's autoscroll would pull a reader down.
let stick = true, questions = 0, lastTop = 0;
const box = () => document.querySelector('#chat .bubble-wrap');
document.addEventListener('scroll', e => {
  const b = box();
  if (!b || e.target !== b) return;
  const left = b.scrollHeight - b.clientHeight - b.scrollTop;
  // A reader moves up, however little; text that shrinks moves up too, and leaves nothing below.
  if (b.scrollTop < lastTop - 2) { if (left > 2) stick = false; }
  else if (left <= 40) stick = true;
  lastTop = b.scrollTop;
}, true);
const names = [['#box .submit-button', 'Send'], ['#box .stop-button', 'Stop'], ['#left .toggle-button', 'Sidebar']];
const label = () => {
  for (const [selector, name] of names) {
    const button = document.querySelector(selector);
    if (button && button.getAttribute('aria-label') !== name) button.setAttribute('aria-label', name);
  }
  // Gradio puts a message's HTML source into its label.
  document.querySelectorAll('#chat [data-testid=bot][aria-label], #chat [data-testid=user][aria-label]').forEach(x => {
    const name = x.dataset.testid === 'bot' ? 'Answer' : 'Question';
    if (x.getAttribute('aria-label') !== name) x.setAttribute('aria-label', name);
  });
};
const plainEdit = () => document.querySelectorAll('#chat textarea.edit-textarea:not([data-plain])').forEach(area => {
  area.dataset.plain = '1';  // Gradio offers the message's HTML for editing; the question itself is meant
  const question = new DOMParser().parseFromString(area.value, 'text/html').querySelector('.q');
  if (!question) return;
  area.value = question.textContent;
  area.setAttribute('aria-label', 'Edit question');
  area.dispatchEvent(new Event('input', {bubbles: true}));
  area.style.height = 'auto';
  area.style.height = area.scrollHeight + 4 + 'px';
  area.focus();
});
// A question that is being typed outlives a reload, which a page does by itself when its server was away.
let brought = false;
document.addEventListener('input', e => { if (e.target.matches?.('#box textarea')) sessionStorage.setItem('rag.draft', e.target.value); });
const draft = () => {
  const area = document.querySelector('#box textarea'), kept = sessionStorage.getItem('rag.draft');
  if (area && brought && kept && !area.value) sessionStorage.removeItem('rag.draft');
  if (!area || brought) return;
  brought = true;
  if (!kept || area.value) return;
  area.value = kept;
  area.dispatchEvent(new Event('input', {bubbles: true}));
};
let due = false;
const settle = () => {
  due = false;
  const b = box(), n = document.querySelectorAll('#chat .user-row').length;
  if (n !== questions) stick = true;
  questions = n;
  document.body.classList.toggle('begun', n > 0);
  if (b && stick) b.scrollTop = b.scrollHeight;
  label();
  plainEdit();
  draft();
};
new MutationObserver(() => {
  if (!due) { due = true; requestAnimationFrame(settle); }
}).observe(document.body, {childList: true, subtree: true, characterData: true});
settle();
