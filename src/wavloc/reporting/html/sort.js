{
const shown = cell => {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("sup").forEach(letter => letter.remove());
  return copy.textContent.trim();
};
const number = text => {
  const found = text.match(/^([-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?: ([kM]))?(?: ±.*)?$/);
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
