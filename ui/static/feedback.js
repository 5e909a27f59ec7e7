// The optional note to a thumb. Events: 'note' 'skip'
element.addEventListener('submit', e => {
  e.preventDefault();
  trigger('note', {turn: Number(e.target.dataset.turn), thumb: Number(e.target.dataset.thumb), name: e.target.querySelector('input').value});
});
element.addEventListener('click', e => { if (e.target.closest('[data-act=skip]')) trigger('skip', {}); });
