(conversation, collection) => {
  for (const store of [sessionStorage, localStorage]) {
    store.setItem('rag.conversation', conversation);
    store.setItem('rag.collection', collection);
  }
  return [];
}
