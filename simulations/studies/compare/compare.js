"use strict";
document.documentElement.classList.add("js");

// The table: a click on a header sorts by it, numbers as numbers; what is not known comes last.
const table = document.getElementById("table"), body = table.tBodies[0], rows = [...body.rows];
[...table.tHead.rows[0].cells].forEach((cell, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = cell.textContent;
  cell.replaceChildren(button);
  button.addEventListener("click", () => {
    const up = cell.getAttribute("aria-sort") !== "ascending";
    [...cell.parentNode.cells].forEach(other => other.removeAttribute("aria-sort"));
    cell.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value;
    rows.sort((one, other) => {
      if (!column) return (up ? 1 : -1) * (rowNumber(one) - rowNumber(other));
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return (up ? 1 : -1) * (a - b);
    });
    body.append(...rows);
  });
});
function rowNumber(row) { return Number(row.cells[0].firstElementChild.textContent); }

const workflow = document.getElementById("workflow"), words = document.getElementById("words");
function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = (workflow.value && row.dataset.workflow !== workflow.value) || !wanted.every(word => text.includes(word));
    count += !row.hidden;
  }
  document.getElementById("shown").textContent = `${count} of ${rows.length} methods`;
}
workflow.addEventListener("change", filter);
words.addEventListener("input", filter);

// The chooser: the same rule as in choose.py.
const data = JSON.parse(document.getElementById("data").textContent), question = document.getElementById("question");
const percent = share => `${(100 * share).toFixed(0)}\u00a0%`;
function worst(row, criterion, distrust) {
  const some = row.risks.filter(risk => risk[0] === criterion && risk[2].some(whom => distrust.includes(whom)));
  return some.reduce((most, risk) => (most === null || risk[3] > most[3] ? risk : most), null);
}
function answer(row, asked) {
  const against = [], open = [];
  if (row.name.includes(data.sums) && asked.owners < data.fewest) against.push(`a sum of fewer than ${data.fewest} owners hides nobody`);
  if (row.retained === null) against.push("its utility was not shown");
  else if (row.retained[0] < asked.least) against.push(`it retains ${percent(row.retained[0])} of the utility`);
  else if (row.retained[1] < asked.least) open.push(`it retains ${percent(row.retained[0])}, but not less than ${percent(row.retained[1])} is shown`);
  if (asked.proven && !row.proven) against.push("nothing is proven");
  let largest = 0;
  for (const criterion of data.criteria) {
    const risk = worst(row, criterion, asked.distrust);
    if (risk !== null) largest = Math.max(largest, risk[3]);
    if (risk === null) { if (asked.distrust.length) open.push(`${criterion} was not measured for them`); }
    else if (risk[3] > asked.most) against.push(`${criterion} by ${risk[1]}: risk ${percent(risk[3])}`);
    else if (risk[4] > asked.most) open.push(`${criterion}: a risk of up to ${percent(risk[4])} is not ruled out`);
  }
  return { title: row.title, against, open, largest, retained: row.retained === null ? -1 : row.retained[0] };
}
function listed(names) { return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`; }
function fill(id, answers, say) {
  document.getElementById(id).replaceChildren(...(answers.length ? answers : [null]).map(each => {
    const item = document.createElement("li"), name = document.createElement("b");
    if (each === null) { item.textContent = "None."; return item; }
    name.textContent = each.title;
    item.append(name, say(each));
    return item;
  }));
}
function choose() {
  const given = new FormData(question), number = name => Number(given.get(name));
  const asked = { owners: number("owners"), distrust: given.getAll("distrust"), least: number("least") / 100, most: number("most") / 100, proven: given.has("proven") };
  const answers = data.rows.map(row => answer(row, asked));
  answers.sort((a, b) => a.against.length > 0 ? (b.against.length > 0 ? a.largest - b.largest || b.retained - a.retained : 1) : (b.against.length > 0 ? -1 : a.largest - b.largest || b.retained - a.retained));
  const whom = listed([...asked.distrust].sort().map(each => `the ${each}`)) || "nobody";
  document.getElementById("asked").textContent = `For ${asked.owners} institutions that distrust ${whom}, want at least ${percent(asked.least)} of the utility and accept a risk of ${percent(asked.most)} at most${asked.proven ? ", with a proof of differential privacy" : ""}:`;
  fill("remain", answers.filter(each => !each.against.length), each => each.open.length ? `; not known: ${each.open.join("; ")}` : "");
  fill("against", answers.filter(each => each.against.length), each => `: ${each.against.join("; ")}`);
}
question.addEventListener("input", choose);
question.addEventListener("submit", event => event.preventDefault());
