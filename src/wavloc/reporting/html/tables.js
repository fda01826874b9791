{
const script = document.getElementById("tables-script").dataset;
const plain = cell => {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("sup").forEach(letter => letter.remove());
  return copy.textContent.trim();
};
const tables = [...document.querySelectorAll("article.table > .box table")];
const ends = (head, labels) => labels.split("|").some(label => label && head.endsWith(label));
// The best third of a column darkest; columns of the papers and of no metric stay white.
for (const table of tables) [...table.tHead.rows[0].cells].forEach((head, column) => {
  const title = plain(head), higher = ends(title, script.higher);
  if (!higher && !ends(title, script.lower)) return;
  const cells = [...table.tBodies].flatMap(body => [...body.rows]).map(row => row.cells[column])
    .filter(cell => cell && /^[-−]?\d/.test(plain(cell)));
  const value = cell => parseFloat(plain(cell).replace("−", "-")) * (higher ? -1 : 1);
  const sorted = cells.map(value).sort((a, b) => a - b);
  if (sorted.length > 2) for (const cell of cells) {
    const rank = 1 - sorted.indexOf(value(cell)) / (sorted.length - 1);
    cell.classList.add("shaded");
    cell.style.setProperty("--rank", Math.round(100 * rank) + "%");
  }
});
const filter = document.getElementById("filter");
if (filter) {
  const boxes = [...filter.querySelectorAll("input")];
  const apply = () => {
    const off = new Set(boxes.filter(box => !box.checked).map(box => box.value));
    for (const table of tables) for (const body of table.tBodies) for (const row of body.rows)
      row.hidden = off.has(plain(row.cells[0]));
  };
  filter.addEventListener("change", apply);
  filter.addEventListener("click", event => {
    if (event.target.dataset.all === undefined) return;
    boxes.forEach(box => { box.checked = event.target.dataset.all === "yes"; });
    apply();
  });
}
}
