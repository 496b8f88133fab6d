"use strict";
// The table of every clip: filtered, sorted and paged from the embedded data; only one page of rows is ever in the document.
(() => {
  const PAGE = 50;
  const data = JSON.parse(document.getElementById("table-data").textContent);
  const grid = document.getElementById("grid");
  const [form, pager, shown] = ["filters", "pager", "shown"].map((id) => document.getElementById(id));
  const at = (list, place) => (place < 0 ? "" : list[place]);
  const SCORE = 0, SKIPPED = 1, ERROR = 2;

  const kindOf = (cell) => (cell === null ? null : typeof cell === "number" || cell.length === 1 ? SCORE : cell[0] ? ERROR : SKIPPED);
  const scoreOf = (cell) => (kindOf(cell) === SCORE ? +cell : null);

  const clips = data.lines.map(([candidate, folder, name, encoded, prompt, seed, camera, cells]) => {
    const notes = new Map();
    cells.forEach((cell, i) => {
      if (kindOf(cell) === null || kindOf(cell) === SCORE) return;
      const reason = at(data.reasons, cell[1]);
      notes.set(reason, [...(notes.get(reason) || []), data.columns[i]]);
    });
    const kinds = new Set(cells.map(kindOf));
    return {
      candidate: at(data.candidates, candidate), name, prompt: at(data.prompts, prompt), seed, camera: at(data.cameras, camera), cells,
      link: at(data.folders, folder) + "/" + (encoded || name),
      notes: [...notes].map(([reason, where]) => `${where.join(", ")}: ${reason}`).join(" · "),
      status: kinds.has(ERROR) ? "error" : kinds.has(SKIPPED) ? "skipped" : "ok",
    };
  });
  const haystack = clips.map((c) => [c.name, c.prompt, c.camera, c.candidate, c.notes].join("\n").toLowerCase());

  // Constant columns say nothing: no candidate for a single one, no prompt, seed or camera where no clip has any.
  const some = (key) => clips.some((c) => c[key] !== "" && c[key] !== null);
  const columns = [
    { title: "Clip", kind: "clip", of: (c) => c.name },
    ...(data.candidates.length > 1 ? [{ title: "Candidate", kind: "text", of: (c) => c.candidate }] : []),
    ...(some("prompt") ? [{ title: "Prompt", kind: "long", of: (c) => c.prompt }] : []),
    ...(some("seed") ? [{ title: "Seed", kind: "number", of: (c) => c.seed }] : []),
    ...(some("camera") ? [{ title: "Camera", kind: "text", of: (c) => c.camera }] : []),
    ...data.columns.map((title, i) => ({ title, kind: "score", place: i, of: (c) => scoreOf(c.cells[i]) })),
    ...(some("notes") ? [{ title: "Notes", kind: "long", of: (c) => c.notes }] : []),
  ];

  let order = clips.map((_, i) => i), sorted = null, descending = false, page = 0, found = order;
  const collator = new Intl.Collator("en", { numeric: true });
  const compare = (a, b) => (typeof a === "number" ? a - b : collator.compare(a, b));

  function sort(column) {
    descending = sorted === column && !descending;
    sorted = column;
    const keys = clips.map(column.of), sign = descending ? -1 : 1;
    const empty = (i) => keys[i] === null || keys[i] === "";
    // What is absent stays last in both directions; ties keep the order of the record.
    order = clips.map((_, i) => i).sort((a, b) => empty(a) - empty(b) || (empty(a) ? 0 : sign * compare(keys[a], keys[b])) || a - b);
    filter();
  }

  function filter() {
    const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { value: candidate } = form.candidate, { value: status } = form.status;
    found = order.filter((i) =>
      (!candidate || clips[i].candidate === data.candidates[candidate]) && (!status || clips[i].status === status)
      && words.every((word) => haystack[i].includes(word)));
    page = 0;
    draw();
  }

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function drawCell(column, clip) {
    const cell = element(column.kind === "clip" ? "th" : "td", "", column.kind);
    if (column.kind === "score") {
      const raw = clip.cells[column.place], kind = kindOf(raw);
      if (kind === SCORE) {
        cell.textContent = (+raw).toFixed(3);
        cell.style.setProperty("--part", `${100 * +raw}%`);
        if (typeof raw !== "number") { cell.classList.add("exploratory"); cell.title = "exploratory: not part of the score"; }
      } else if (kind !== null) {
        cell.textContent = kind === ERROR ? "error" : "skipped";
        cell.classList.add(cell.textContent);
        cell.title = at(data.reasons, raw[1]);
      }
      return cell;
    }
    const value = column.of(clip);
    const inner = cell.appendChild(element(column.kind === "clip" ? "a" : "bdi"));
    if (column.kind === "clip") {
      cell.scope = "row";
      inner.href = clip.link;
      inner.appendChild(element("bdi", value));
    } else inner.textContent = value === null ? "" : String(value);
    if (value && column.kind !== "number") cell.title = value;
    return cell;
  }

  function draw() {
    const first = page * PAGE, last = Math.min(first + PAGE, found.length);
    const rows = found.slice(first, last).map((i) => {
      const row = element("tr");
      row.append(...columns.map((column) => drawCell(column, clips[i])));
      return row;
    });
    grid.tBodies[0].replaceChildren(...rows);
    [...grid.tHead.rows[0].cells].forEach((cell, i) =>
      cell.setAttribute("aria-sort", columns[i] !== sorted ? "none" : descending ? "descending" : "ascending"));
    const count = (n) => n.toLocaleString("en");
    shown.textContent = (found.length ? `${count(first + 1)}–${count(last)} of ${count(found.length)}` : "No clip matches")
      + (found.length < clips.length ? ` (${count(clips.length)} in all)` : "");
    const [previous, next] = pager.querySelectorAll("button");
    previous.disabled = page === 0;
    next.disabled = last >= found.length;
  }

  const head = grid.tHead.insertRow();
  columns.forEach((column) => {
    const cell = head.appendChild(element("th", "", column.kind));
    cell.scope = "col";
    const button = cell.appendChild(element("button", column.title));
    button.type = "button";
    button.addEventListener("click", () => sort(column));
  });
  data.candidates.forEach((name, i) => form.candidate.add(new Option(name, i)));
  form.candidate.parentElement.hidden = data.candidates.length < 2;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  pager.addEventListener("click", (event) => {
    const step = Number(event.target.dataset.step);
    if (!step) return;
    page += step;
    draw();
  });
  form.hidden = pager.hidden = false;
  draw();
})();
