"""How the report looks and how its tables are sorted; no other file is needed."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0;
  --paper: #fff; --shade: #f4f6f8; --link: #0b5cad; --warm: #b4470a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9aa4af; --line: #3a424b;
  --paper: #14181c; --shade: #1e242a; --link: #78b4f0; --warm: #f0965a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
a { color: var(--link); } p { margin: .4rem 0; max-width: 60rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 1px; }
nav { display: flex; flex-wrap: wrap; gap: .15rem 1rem; margin: .5rem 0; }
sup { line-height: 0; }
article.table > p, .soft, figcaption { color: var(--soft); font-size: .9rem; }
.box { overflow-x: auto; margin: .75rem 0; border: 1px solid var(--line); border-radius: 6px; }
details .box { max-height: 32rem; overflow-y: auto; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; text-align: left; white-space: nowrap; vertical-align: top; }
th.n, td.n { text-align: right; } td.long { white-space: normal; min-width: 16rem; }
td.short { white-space: normal; min-width: 9rem; }
thead th { background: var(--shade); border-bottom: 2px solid var(--line); position: sticky; top: 0;
  vertical-align: bottom; white-space: normal; z-index: 1; }
thead button { all: unset; cursor: pointer; display: block; width: 100%; }
thead button:focus-visible { outline: 2px solid var(--link); }
:is(th, td):first-child { position: sticky; left: 0; background: var(--paper); }
thead th:first-child { background: var(--shade); z-index: 2; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tbody tr + tr td { border-top: 1px solid var(--line); }
tbody + tbody tr:first-child td { border-top: 2px solid var(--soft); }
tr.rule td { font-style: italic; background: var(--shade); }
#deviations td { white-space: normal; min-width: 10rem; }
figure { margin: 1.25rem 0; }
figure .wide { overflow-x: auto; background: #fff; border-radius: 6px; padding: .5rem; }
figure img { display: block; max-width: 100%; height: auto; }
.curves { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); }
.curve { margin: 0; } .curve svg { display: block; width: 100%; background: var(--shade);
  border-radius: 6px; font-size: 9px; }
.curve path { fill: none; stroke-width: 1.5; } .curve text { fill: var(--soft); }
path.train { stroke: var(--link); } circle.train { fill: var(--link); }
path.valid { stroke: var(--warm); stroke-dasharray: 4 2; } circle.valid { fill: var(--warm); }
path.kept { stroke: var(--soft); stroke-dasharray: 1 3; }
.controls { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin: .5rem 0; padding: 0;
  border: 0; font-size: .9rem; }
.controls label { display: inline-flex; align-items: center; gap: .4rem; min-height: 1.9rem; }
.controls .wide { flex: 1; } .controls input[type=range] { flex: 1; min-width: 8rem; }
.controls output { min-width: 4.5rem; } .controls[hidden] { display: none; }
#view-methods { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); }
.swatch { width: .8rem; height: .8rem; flex: none; } .swatch.circle { border-radius: 50%; }
.swatch.diamond { transform: rotate(45deg) scale(.85); }
.swatch.cross { clip-path: polygon(33% 0, 66% 0, 66% 33%, 100% 33%, 100% 66%, 66% 66%, 66% 100%,
  33% 100%, 33% 66%, 0 66%, 0 33%, 33% 33%); }
#view { height: min(70vh, 40rem); border: 1px solid var(--line); border-radius: 6px;
  overflow: hidden; padding: 0; }
#view > p { padding: 1rem; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--link); }
pre { background: var(--shade); padding: .75rem; border-radius: 6px; overflow-x: auto;
  font-size: .82rem; } code { font-size: .92em; }
@media (max-width: 40rem) { body { padding: 1rem .75rem 3rem; } #view { height: 60vh; }
  td.long { min-width: 13rem; } figure img { max-width: 34rem; } }
"""
# Sorts the rows inside each body, numbers by value, rows without one last. A heading is a button,
# so that the keyboard reaches it.
SORTING = """
{
const shown = cell => {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("sup").forEach(letter => letter.remove());
  return copy.textContent.trim();
};
const number = text => {
  const found = text.match(/^([-−]?\\d+(?:\\.\\d+)?(?:e[-+]?\\d+)?)(?: ([kM]))?(?: ±.*)?$/);
  return found ? found[1].replace("−", "-") * ({k: 1e3, M: 1e6}[found[2]] ?? 1) : NaN;
};
const sort = head => {
  const column = head.cellIndex, table = head.closest("table");
  const up = head.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter(row => !row.classList.contains("rule"))
      .map(row => ({row, text: shown(row.cells[column]), value: number(shown(row.cells[column]))}));
    const missing = row => isNaN(row.value);
    const numeric = rows.some(row => !missing(row))
      && rows.every(row => !missing(row) || ["", "–", "N/A"].includes(row.text));
    rows.sort((a, b) => numeric && (missing(a) || missing(b)) ? missing(a) - missing(b)
      : (up ? 1 : -1) * (numeric ? a.value - b.value : a.text.localeCompare(b.text)));
    rows.forEach(({row}) => body.append(row));
  }
};
document.querySelectorAll("thead th").forEach(head => {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  button.addEventListener("click", () => sort(head));
  head.append(button);
});
}
"""
