// What a tab remembers over a reload: its conversation (a new tab takes the last one) and its collection.
(conversation, collection) => [
  sessionStorage.getItem('rag.conversation') ?? localStorage.getItem('rag.conversation') ?? '',
  sessionStorage.getItem('rag.collection') ?? localStorage.getItem('rag.collection') ?? collection,
]
