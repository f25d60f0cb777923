// A setting is a link: what is chosen stands behind the # of the address, and the same address shows the same view again.
// #playground?model=tied&text=one+two or #learn?cell=gru: a name for the part of the page, then its settings.

const all = () => {
  const found = {};
  for (const part of location.hash.slice(1).split(';')) {
    const [name, query] = part.split('?', 2);
    if (query !== undefined) found[name] = query;
  }
  return found;
};

// `read` gives the settings of a part, numbers as numbers; `write` puts them there, a little later, without a new entry in the history.
export function linked(name) {
  let timer = null;
  const query = all()[name];
  return {
    given: query !== undefined,
    read: () => Object.fromEntries([...new URLSearchParams(query ?? '')].map(([k, v]) => [k, v !== '' && k !== 'text' && k !== 'pasted' && Number.isFinite(Number(v)) ? Number(v) : v])),
    write(settings) {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const parts = {...all(), [name]: new URLSearchParams(settings).toString().replaceAll(';', '%3B')};
        history.replaceState(history.state, '', '#' + Object.entries(parts).map(([k, v]) => `${k}?${v}`).join(';'));
      }, 200);
    },
  };
}

// Another link typed into the address of this very page: begin again with it. (What `write` puts there makes no such event.)
globalThis.addEventListener?.('hashchange', () => { if (location.hash.includes('?')) location.reload(); });
