{
const data = JSON.parse(document.getElementById("data").textContent);
const moment = document.getElementById("moment"), said = document.getElementById("said");
const places = [...document.querySelectorAll("circle.now")];
const lines = [...document.querySelectorAll("path.now")];
const show = () => {
  const row = data[+moment.value];
  if (!row) return;
  said.textContent = row.said;
  moment.setAttribute("aria-valuetext", row.said);
  places.forEach((mark, view) => {
    const at = row.at[view];
    mark.setAttribute("visibility", at ? "visible" : "hidden");
    if (at) mark.setAttribute("transform", `translate(${at})`);
  });
  lines.forEach(line => {
    line.setAttribute("visibility", "visible");
    line.setAttribute("transform", `translate(${row.px})`);
  });
};
const nearest = x => data.reduce((best, row, k) =>
  Math.abs(row.px - x) < Math.abs(data[best].px - x) ? k : best, 0);
document.querySelectorAll("svg.time").forEach(chart => chart.addEventListener("pointermove", event => {
  if (!data.length) return;
  const box = chart.getBoundingClientRect();
  moment.value = nearest((event.clientX - box.left) * chart.viewBox.baseVal.width / box.width);
  show();
}));
moment.addEventListener("input", show);
show();
}
