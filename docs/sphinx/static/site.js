// Paper is white: a page that is read in the dark is printed in the light, its folded code left out.
let before;
addEventListener('beforeprint', () => { before = document.documentElement.dataset.theme; document.documentElement.dataset.theme = 'light'; });
addEventListener('afterprint', () => { document.documentElement.dataset.theme = before; });
