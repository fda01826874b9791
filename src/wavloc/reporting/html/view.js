{
const make = (tag, fields) => Object.assign(document.createElement(tag), fields);
const element = document.getElementById("view");
const views = JSON.parse(document.getElementById("view-data").textContent);
const [track, time, moment, list] = ["track", "time", "moment", "methods"]
  .map(name => document.getElementById("view-" + name));
const on = new Map();  // label -> visible, kept when the track changes
let view, drawn;

const library = async () => {
  const packed = atob(document.getElementById("view-library").textContent);
  const bytes = Uint8Array.from(packed, letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(make("script", {textContent: await new Response(stream).text()}));
};
const colour = name => getComputedStyle(document.body).getPropertyValue(name).trim();
const ink = method => method.colour === "#000000" ? colour("--ink") : method.colour;
const clip = ([x, y, z]) => {  // nothing outside the box: an outlier would hide the rest
  const inside = (value, axis) =>
    value !== null && value >= view.box[axis][0] && value <= view.box[axis][1];
  const keep = x.map((_, k) => inside(x[k], 0) && inside(y[k], 1) && inside(z[k], 2));
  return [x, y, z].map(axis => axis.map((value, k) => keep[k] ? value : null));
};
const points = ([x, y, z], more) => ({type: "scatter3d", x, y, z, connectgaps: false, ...more});
const gaps = () => {  // the true path breaks where frames are missing
  const steps = view.time.slice(1).map((t, k) => t - view.time[k]);
  const usual = [...steps].sort((a, b) => a - b)[steps.length >> 1];
  return view.truth.map(axis => axis.flatMap((value, k) =>
    k && steps[k - 1] > 1.5 * usual ? [null, value] : [value]));
};
const edges = () => {
  const [x, y, z] = [[], [], []], corner = k => [k & 1, k >> 1 & 1, k >> 2 & 1];
  for (let a = 0; a < 8; a++) for (const bit of [1, 2, 4]) if (!(a & bit)) {
    for (const k of [a, a | bit]) corner(k).forEach((far, axis) =>
      [x, y, z][axis].push(view.box[axis][far]));
    [x, y, z].forEach(axis => axis.push(null));
  }
  return [x, y, z];
};
const traces = () => {
  const now = +time.value, at = axes => axes.map(axis => [axis[now]]);
  const seen = view.methods.filter(method => on.get(method.label));
  return [
    points(edges(), {mode: "lines", hoverinfo: "skip", line: {color: colour("--line"), width: 2}}),
    points(view.mics, {mode: "markers+text", name: "microphone", hoverinfo: "text",
      text: view.mics[0].map((_, k) => String(k + 1)), textfont: {color: colour("--ink"), size: 11},
      marker: {symbol: "square", size: 4, color: colour("--soft")}}),
    points(gaps(), {mode: "lines", name: "ground truth", hoverinfo: "name",
      line: {color: colour("--soft"), width: 9}}),
    ...seen.map(method => points(clip(method.xyz), {mode: "markers", name: method.label,
      text: view.time.map(t => t.toFixed(2) + " s"),
      marker: {size: 3, color: ink(method), symbol: method.symbol}})),
    points(at(view.truth), {mode: "markers", name: "ground truth", hoverinfo: "name",
      marker: {symbol: "diamond", size: 7, color: colour("--soft")}}),
    ...seen.map(method => points(clip(method.xyz).map((axis, k) =>
      [view.truth[k][now], axis[now]]), {mode: "lines+markers", name: method.label,
      hoverinfo: "name", line: {color: ink(method), width: 3},
      marker: {size: [0, 7], color: ink(method), symbol: method.symbol}})),
  ];
};
const draw = () => {
  if (!window.Plotly) return;
  const axis = (name, k) => ({title: {text: name + " (m)"}, range: view.box[k],
    color: colour("--soft"), gridcolor: colour("--line"), showbackground: false});
  const [x, y, z] = ["x", "y", "z"].map(axis);
  moment.textContent = view.time[+time.value].toFixed(2) + " s";
  if (!drawn) element.replaceChildren();
  drawn = true;
  const far = element.clientWidth < element.clientHeight ? 2.1 : 1.35;
  return Plotly.react(element, traces(), {
    showlegend: false, uirevision: view.name, margin: {l: 0, r: 0, t: 0, b: 0},
    paper_bgcolor: "rgba(0,0,0,0)", hoverlabel: {namelength: -1},
    scene: {xaxis: x, yaxis: y, zaxis: z, aspectmode: "data",
      camera: {eye: {x: -0.9 * far, y: -1.5 * far, z: 0.9 * far}, center: {x: 0, y: 0, z: -0.1}}},
  }, {responsive: true, displaylogo: false, modeBarButtons: [["resetCameraDefault3d"]]});
};
const choose = () => {
  view = views[track.selectedIndex];
  Object.assign(time, {max: view.time.length - 1, value: 0});
  list.replaceChildren(list.firstElementChild, ...view.methods.map(method => {
    if (!on.has(method.label)) on.set(method.label, method.shown);
    const box = make("input", {type: "checkbox", checked: on.get(method.label)});
    box.addEventListener("change", () => { on.set(method.label, box.checked); draw(); });
    const swatch = make("i", {className: "swatch " + method.symbol});
    swatch.style.background = ink(method);
    const label = make("label"), all = view.time.length;
    label.append(box, swatch, method.label,
      method.located < all ? ` (${method.located} of ${all})` : "");
    return label;
  }));
  return draw();
};
track.addEventListener("change", choose);
time.addEventListener("input", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
choose();
new IntersectionObserver(async (seen, observer) => {
  if (!seen.some(entry => entry.isIntersecting)) return;
  observer.disconnect();
  await library();
  await draw();
  element.dataset.drawn = "yes";
}, {rootMargin: "300px"}).observe(element);
}
