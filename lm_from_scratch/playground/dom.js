// Small makers of elements, for all parts of the page.

const NO_ATTRIBUTE = ['className', 'textContent', 'value', 'checked', 'disabled', 'hidden'];
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (k.startsWith('on')) node.addEventListener(k.slice(2), v);
    else if (NO_ATTRIBUTE.includes(k)) node[k] = v;
    else node.setAttribute(k, v);
  }
  node.append(...children);
  return node;
}
export const button = (text, onclick, props = {}) => el('button', {type: 'button', onclick, ...props}, text);
export const heading = (name, title) => el('h3', {id: `lmp-${name}`}, title);  // the page has an h2 above
export const section = (name, ...children) => el('section', {className: `lmp-${name}`, 'aria-labelledby': `lmp-${name}`}, ...children);
export function field(text, input, out = '') {                        // a label with its input, and perhaps the value beside it
  return el('label', {className: 'lmp-field'}, el('span', {}, text), input, out);
}
export const range = (id, min, max, step, value, oninput) => el('input', {type: 'range', id, min, max, step, value, oninput});
export const number = (id, min, max, value) => el('input', {type: 'number', id, min, max, step: 1, value, required: ''});
export const whole = input => {                                       // its value, kept within its bounds
  const v = Math.round(Number(input.value)) || Number(input.min);
  return Number(input.value = Math.min(Number(input.max), Math.max(Number(input.min), v)));
};
export const svg = (tag, attrs, ...children) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attrs)) node.setAttribute(k, v);
  node.append(...children);
  return node;
};
export const shown = p => p > 0 && p < 0.0005 ? '<0.001' : p.toFixed(3);
export const signed = v => v.toFixed(2).replace('-', '−');
export const percent = p => p > 0 && p < 0.01 ? '<1%' : `${(100 * p).toFixed(0)}%`;
export const plural = (n, what) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
