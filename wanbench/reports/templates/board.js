"use strict";
// Prompts with the videos made from them: filtered, sorted and paged from the embedded data. A video is a video element only in
// a prompt that was opened, and has an address only once it was scrolled to.
(() => {
  const list = document.getElementById("pairs");
  if (!list) return;
  const PAGE = 12, COLOURS = 10;
  const data = JSON.parse(document.getElementById("prompts-data").textContent);
  const [form, pager, shown] = ["filters", "pager", "shown"].map((id) => document.getElementById(id));
  const several = data.candidates.length > 1;
  const haystack = data.prompts.map((told) => told.join("\n").toLowerCase());
  let found = [], page = 0, pictures = null;

  const poster = (place) => {
    pictures ??= JSON.parse(document.getElementById("posters-data").textContent);
    return pictures[place];
  };
  const score = (value) => (value == null ? "–" : value.toFixed(3));
  const signed = (value) => {
    const text = Math.abs(value).toFixed(3);
    return +text === 0 ? text : (value < 0 ? "−" : "+") + text;
  };

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  const chosen = () => (several ? [+form.candidate.value, +form.against.value] : [0, 0]);

  function change([, , scores]) {
    const [candidate, against] = chosen();
    if (!several) return scores[0] ?? null;
    return scores[candidate] == null || scores[against] == null ? null : scores[candidate] - scores[against];
  }

  function filter() {
    const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { value: dimension } = form.dimension, { value: order } = form.order;
    const sign = order === "down" ? -1 : 1;
    found = data.lines
      .filter((line) => (!dimension || line[0] === +dimension) && words.every((word) => haystack[line[1]].includes(word)))
      .map((line) => ({ line, change: change(line) }));
    const empty = (a) => a.change === null;
    if (order === "prompt") found.sort((a, b) => a.line[1] - b.line[1] || a.line[0] - b.line[0]);
    else found.sort((a, b) => empty(a) - empty(b) || sign * (a.change - b.change) || a.line[1] - b.line[1]);
    page = 0;
    draw();
  }

  const watcher = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
    if (isIntersecting) load(target);
  }), { rootMargin: "200px" });

  function load(video) {
    watcher.unobserve(video);
    if (!video.src) video.src = video.dataset.source;
  }

  function player(line, [candidate, seed, folder, name, picture], several_seeds) {
    const prompt = data.prompts[line[1]][0];
    const source = data.folders[folder] + "/" + (name || `${prompt}-${seed}.mp4`);
    const figure = element("figure", "", "c" + (candidate % COLOURS));
    const video = figure.appendChild(element("video"));
    Object.assign(video, { controls: true, muted: true, loop: true, playsInline: true, preload: "metadata" });
    video.setAttribute("aria-label", `${data.candidates[candidate]}, ${prompt}`);
    video.dataset.source = source;
    if (picture >= 0) video.poster = poster(picture);
    const link = element("a", "open the file");
    link.href = source;
    video.addEventListener("error", () => {
      const gone = element("div", "cannot be shown; is it still there? ", "gone");
      gone.append(link);
      video.replaceWith(gone);
    });
    const caption = figure.appendChild(element("figcaption"));
    const who = caption.appendChild(element("span", "", "who"));
    who.append(element("bdi", data.candidates[candidate] + (candidate === data.baseline && several ? " (baseline)" : "")));
    caption.append(element("strong", score(line[2][candidate]) + (several_seeds ? `, seed ${seed}` : "")));
    watcher.observe(video);
    return figure;
  }

  function fill(details, line) {
    if (details.children.length > 1) return;
    const first = chosen();
    const rank = (candidate) => (first.includes(candidate) ? -1 - first.indexOf(candidate) : candidate);
    const videos = [...data.videos[line[1]]].sort((a, b) => (a[1] ?? 0) - (b[1] ?? 0) || rank(a[0]) - rank(b[0]));
    const seeds = new Set(videos.map((v) => v[1])).size > 1;
    const box = element("div", "", "watching");
    box.append(...videos.map((video) => player(line, video, seeds)));
    const bar = element("p", "", "together");
    const button = bar.appendChild(element("button", "Play all from the start"));
    button.type = "button";
    button.addEventListener("click", () => box.querySelectorAll("video").forEach((video) => {
      load(video);
      video.currentTime = 0;
      video.play().catch(() => {});  // an unreadable file has said so in its place
    }));
    details.append(bar, box);
  }

  function row({ line, change: moved }) {
    const [prompt, text] = data.prompts[line[1]], [candidate, against] = chosen();
    const details = element("details");
    const summary = details.appendChild(element("summary"));
    const name = summary.appendChild(element("span"));
    name.append(element("bdi", prompt), element("span", ` · ${data.dimensions[line[0]]}`, "note"));
    const told = summary.appendChild(element("span", "", "change"));
    if (several) {
      told.append(`${score(line[2][against])} → ${score(line[2][candidate])} `);
      told.append(element("b", moved === null ? "" : signed(moved), moved < 0 ? "falls" : "rises"));
    } else told.append(element("b", score(line[2][0])));
    if (text) summary.append(element("bdi", text, "text"));
    details.addEventListener("toggle", () => {
      if (details.open) fill(details, line);
      else details.querySelectorAll("video").forEach((video) => video.pause());
    });
    const item = element("li");
    item.append(details);
    return item;
  }

  function draw() {
    const first = page * PAGE, last = Math.min(first + PAGE, found.length);
    watcher.disconnect();
    list.replaceChildren(...found.slice(first, last).map(row));
    const count = (n) => n.toLocaleString("en");
    shown.textContent = found.length ? `${count(first + 1)}–${count(last)} of ${count(found.length)}` : "No prompt matches";
    const [previous, next] = pager.querySelectorAll("button");
    previous.disabled = page === 0;
    next.disabled = last >= found.length;
  }

  const fillSelect = (select, names) => names.forEach((name, i) => select.add(new Option(name, i)));
  if (several) {
    fillSelect(form.candidate, data.candidates);
    fillSelect(form.against, data.candidates);
    form.against.value = data.baseline;
    form.candidate.value = data.baseline === 0 ? 1 : 0;
  }
  fillSelect(form.dimension, data.dimensions);
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  pager.addEventListener("click", (event) => {
    const step = Number(event.target.dataset.step);
    if (!step) return;
    page += step;
    draw();
    list.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("click", (event) => {
    const watch = event.target.closest(".watch");
    if (!watch) return;
    event.preventDefault();  // following the link would take the focus away again
    const { prompt, candidate, dimension } = watch.dataset;
    form.candidate.value = data.candidates.indexOf(candidate);
    form.against.value = data.baseline;
    form.dimension.value = data.dimensions.indexOf(dimension);
    form.text.value = prompt;
    filter();
    const opened = list.querySelector("details");
    document.getElementById("prompts").scrollIntoView();
    if (!opened) return;
    opened.open = true;
    opened.querySelector("summary").focus({ preventScroll: true });
  });
  form.hidden = pager.hidden = false;
  filter();
})();
