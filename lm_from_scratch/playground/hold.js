// Take hold of a network: gates that stay open or shut, units that are frozen or cleared, and which words may be drawn.

// A pin: {layer, part, unit (null: all of them), value (one, or one for each unit)}. The holds of a model, a function for each layer: what a step calculated → what holds.
export function holdsOf(pins, n_layers) {
  if (!pins.length) return undefined;
  return Array.from({length: n_layers}, (_, l) => (name, values) => {
    const mine = pins.filter(p => p.layer === l && p.part === name);
    if (!mine.length) return values;
    return values.map((v, k) => {
      const {value} = mine.findLast(p => p.unit === null || p.unit === k) ?? {value: v};
      return Array.isArray(value) ? value[k] : value;                 // frozen: each unit at its own
    });
  });
}

// As a link has them: 0.f.3=1, or 0.f.*=0 for all units; each unit's own value after a _.
const brief = v => String(Number(v.toFixed(4)));
export const writePins = pins => pins.map(p => `${p.layer}.${p.part}.${p.unit ?? '*'}=${Array.isArray(p.value) ? p.value.map(brief).join('_') + '_' : brief(p.value)}`).join(',');
export const readPins = text => String(text ?? '').split(',').map(t => t.match(/^(\d+)\.([a-z])\.(\d+|\*)=(-?[\d.]+(?:_-?[\d.]+)*)(_?)$/)).filter(Boolean).map(m => ({
  layer: Number(m[1]), part: m[2], unit: m[3] === '*' ? null : Number(m[3]), value: m[5] ? m[4].split('_').map(Number) : Number(m[4])}));

// Chapter 11: only the k likeliest words, and of these only the likeliest that together have the share p. 0 and 1: all.
export function narrow(probs, k = 0, p = 1) {
  if (!k && p >= 1) return probs;
  const order = Array.from(probs.keys()).sort((a, b) => probs[b] - probs[a]), kept = k ? order.slice(0, k) : order, out = probs.map(() => 0);
  const sum = kept.reduce((total, id) => total + probs[id], 0);
  let before = 0;
  for (const id of kept) {
    if (before >= p) break;
    out[id] = probs[id] / sum; before += out[id];
  }
  const left = out.reduce((a, b) => a + b, 0);
  return out.map(v => v / left);
}
