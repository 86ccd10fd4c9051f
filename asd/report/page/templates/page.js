// The page without this script is whole: tables, plots, players. With it: sorting, filtering, one player for every clip.
"use strict";

const PAGE_SIZE = 50;
const THEME = "asd-theme";
const remembered = { // a browser may forbid memory to pages from disk
  get: () => { try { return localStorage.getItem(THEME) || "auto"; } catch { return "auto"; } },
  set: (theme) => { try { localStorage.setItem(THEME, theme); } catch { /* forgotten at the next page */ } },
};
document.documentElement.dataset.theme = remembered.get();

document.addEventListener("DOMContentLoaded", () => {
  chooseTheme();
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("audio").forEach((audio) => follow(audio, audio.parentElement));
  if (document.getElementById("reference")) compareWithReference();
  if (document.getElementById("clip-table")) listClips();
  if (document.querySelector(".maps")) showOneGroup();
  hintAtScrolling();
});

// Says of each table and plot that is cut off by the window that it scrolls.
function hintAtScrolling() {
  const watch = new ResizeObserver((entries) => entries.forEach(({ target }) =>
    target.classList.toggle("cut", target.scrollWidth > target.clientWidth + 1)));
  document.querySelectorAll(".scroll, .wide").forEach((one) => watch.observe(one));
}

function chooseTheme() {
  const select = document.getElementById("theme");
  select.value = document.documentElement.dataset.theme;
  select.addEventListener("change", () => {
    document.documentElement.dataset.theme = select.value;
    remembered.set(select.value);
  });
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.querySelector("button")?.addEventListener("click", () => {
    const first = heading.classList.contains("num") ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = heading.getAttribute("aria-sort") === first ? other : first;
    headings.forEach((one) => one.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", order);
    sortRows(table.tBodies[0], column, order === "ascending" ? 1 : -1);
    table.dispatchEvent(new Event("sorted"));
  }));
}

function sortRows(body, column, sign) {
  const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const rows = [...body.rows].map((row) => [key(row), row]);
  const numeric = rows.every(([text]) => text === "" || text === "–" || !Number.isNaN(Number(text)));
  const compare = numeric
    ? ([a], [b]) => (isNothing(a) || isNothing(b) ? isNothing(a) - isNothing(b) : sign * (Number(a) - Number(b)))
    : ([a], [b]) => sign * a.localeCompare(b);
  body.append(...rows.sort(compare).map(([, row]) => row));
}

function isNothing(text) { return text === "" || text === "–"; }

function compareWithReference() {
  const select = document.getElementById("reference");
  const table = document.getElementById("table2-table");
  const published = new Map([...table.querySelectorAll("tr.published")].map((row) => [row.dataset.system, row]));
  select.addEventListener("change", () => {
    const reference = published.get(select.value);
    for (const row of table.tBodies[0].querySelectorAll("tr:not(.published)"))
      [...row.cells].forEach((cell, column) => {
        cell.querySelectorAll(".diff").forEach((diff, index) => {
          const figure = index ? "pauc" : "auc";
          tell(diff, Number(cell.dataset[figure]) - Number(reference.cells[column].dataset[figure]));
        });
        tint(cell, Number(cell.dataset.auc) - Number(reference.cells[column].dataset.auc));
      });
  });
}

function tell(diff, points) {
  const direction = points > 0 ? "up" : points < 0 ? "down" : "same";
  const arrow = { up: "▲ +", down: "▼ −", same: "■ " }[direction];
  diff.className = `diff ${direction}`;
  diff.textContent = arrow + Math.abs(points).toFixed(1);
}

function tint(cell, points) {
  cell.style.setProperty("--v", Math.min(Math.max(points / 25, 0), 1));
  cell.style.setProperty("--w", Math.min(Math.max(-points / 25, 0), 1));
}

function listClips() {
  const table = document.getElementById("clip-table");
  const form = document.getElementById("filters");
  const more = document.getElementById("more");
  const columns = { name: 1, section: 2, domain: 3, label: 4, verdict: 7 };
  const fields = [...form.querySelectorAll("[data-column]")];
  let limit = PAGE_SIZE;

  const matches = (row) => fields.every((field) => {
    const text = row.cells[columns[field.dataset.column]].textContent.trim();
    return field.type === "search" ? text.toLowerCase().includes(field.value.trim().toLowerCase()) : !field.value || text === field.value;
  });
  const update = () => {
    const rows = [...table.tBodies[0].rows];
    let found = 0;
    for (const row of rows) row.hidden = !(matches(row) && ++found <= limit);
    document.getElementById("shown").textContent = `${Math.min(found, limit)} shown of ${found} that match, ${rows.length} in all`;
    more.hidden = found <= limit;
  };
  const restart = () => { limit = PAGE_SIZE; update(); };
  for (const event of ["input", "change"]) form.addEventListener(event, restart);
  form.addEventListener("reset", () => setTimeout(restart)); // after the fields are empty
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { limit += 4 * PAGE_SIZE; update(); });
  table.addEventListener("sorted", update);
  update();
  openPlayer(table);
}

function openPlayer(table) {
  const clips = JSON.parse(document.getElementById("clip-data").textContent);
  const player = document.getElementById("player");
  let opener = null;
  const close = () => {
    player.hidden = true;
    player.querySelector(".beside").replaceChildren();
    table.querySelector("tr.playing")?.classList.remove("playing");
    opener?.focus();
  };
  table.addEventListener("click", (event) => {
    const button = event.target.closest(".play");
    if (!button) return;
    table.querySelector("tr.playing")?.classList.remove("playing");
    opener = button;
    const row = button.closest("tr");
    row.classList.add("playing");
    const clip = clips[Number(row.dataset.index)];
    const figures = [clip, ...clip.nearest].map((one, index) => figureOf(one, index ? "training clip near it" : "clip"));
    player.querySelector(".beside").replaceChildren(...figures);
    player.hidden = false;
    player.querySelector("audio")?.play().catch(() => { /* the browser wants another press */ });
  });
  player.querySelector(".close").addEventListener("click", close);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !player.hidden) close(); });
}

function figureOf(clip, title) {
  const figure = document.getElementById("figure").content.firstElementChild.cloneNode(true);
  const [image, audio, curve] = ["img", "audio", ".spark"].map((one) => figure.querySelector(one));
  figure.querySelector("strong").textContent = title;
  figure.querySelector(".name").textContent = clip.name;
  if (clip.points) curve.querySelector("polyline").setAttribute("points", clip.points);
  else curve.remove();
  if (clip.audio) {
    image.src = clip.image;
    image.alt = `Spectrogram of ${clip.name}`;
    figure.querySelector(".top").textContent = `${clip.khz} kHz`;
    figure.querySelector(".end").textContent = `${clip.seconds.toFixed(1)} s`;
    audio.src = clip.audio;
    audio.setAttribute("aria-label", clip.name);
    follow(audio, figure);
  } else {
    figure.querySelectorAll("img, audio, .axis").forEach((one) => one.remove());
    const note = document.createElement("p");
    note.className = "none";
    note.textContent = "No sound here: beyond the budget of the page.";
    figure.append(note);
  }
  return figure;
}

function follow(audio, figure) {
  const head = figure.querySelector(".head");
  if (!head) return;
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    const step = () => {
      head.style.display = "block";
      head.style.left = `${100 * audio.currentTime / (audio.duration || 1)}%`;
      if (!audio.paused) requestAnimationFrame(step);
    };
    step();
  });
}

function showOneGroup() {
  const maps = document.querySelector(".maps");
  const clear = () => {
    maps.querySelectorAll("[aria-pressed]").forEach((button) => button.setAttribute("aria-pressed", "false"));
    maps.querySelectorAll(".points.dim").forEach((points) => points.classList.remove("dim"));
  };
  maps.addEventListener("change", clear);
  maps.addEventListener("click", (event) => {
    const button = event.target.closest("[data-only]");
    if (!button) return;
    const pressed = button.getAttribute("aria-pressed") === "true";
    clear();
    if (pressed) return;
    button.setAttribute("aria-pressed", "true");
    maps.querySelectorAll(".points").forEach((points) => points.classList.toggle("dim", !points.classList.contains(button.dataset.only)));
  });
}
