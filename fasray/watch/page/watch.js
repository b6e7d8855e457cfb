// The page of `fasray watch`: every run whole at first, then only what has changed, as the server sees it in the log.

import { MOST_CURVES, curves, duration, el, look, percent, reconcile, say } from "/page/draw.js";

const SILENCE_MS = 15000; // of the server, which gives a sign every 5 s, and of a log
const LOG_LINES = 400;
const ROWS = 40;
const FAILURES = 100;
const MOST_STOPS = 12;
const WORDS = {
  running: "running", complete: "complete", interrupted: "interrupted", failed: "ended with failures", dead: "driver died",
  unknown: "driven elsewhere", waiting: "not started",
};
const BARREN = new Set(["no winner", "all diverged"]);
const ENDED = new Set(["stopped", "done", "diverged", "failed"]);
const LEGEND = [
  ["search-running", "running"], ["search-done", "search, whole"], ["stopped", "search, stopped early"], ["confirm", "confirming run"],
  ["bad", "failed or diverged"],
];
const line = document.getElementById("line");

class Run {
  constructor(number) {
    this.number = number;
    this.trials = new Map();
    this.ofCell = new Map();
    this.cells = new Map();
    this.log = [];
    this.selected = null;
    this.chosen = false; // whether a person has chosen the cell
    this.rows = ROWS;
    this.open = new Set();
    this.details = new Set(); // numbers of the trials whose configuration is there, or asked for
    this.rungsOf = ""; // what the rungs were last asked for
    this.drawn = "";
    this.build();
  }

  build() {
    const tile = (label) => {
      const [value, note] = [el("span", { class: "value" }), el("span", { class: "soft" })];
      return { value, note, node: el("div", {}, el("dt", { text: label }), el("dd", {}, value, note)) };
    };
    const part = (title, name, ...children) => el("section", { class: name, "aria-label": title }, el("h2", { text: title }), ...children);
    this.name = el("bdi");
    this.folder = el("bdi", { class: "soft" });
    this.badge = el("span", { class: "badge" });
    this.words = el("p", { class: "words" });
    this.warning = el("p", { class: "warning", role: "note", hidden: true, text: "Generated faces: the numbers are no evidence about real ones." });
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.tiles = { trials: tile("Trials ended"), cells: tile("Cells confirmed"), left: tile("Time left"), best: tile("Best source-dev AUC"), cost: tile("Work so far") };
    this.meter = el("span", { class: "meter" }, el("span"));
    this.tiles.trials.note.after(this.meter);
    this.columns = el("tr");
    this.lines = el("tbody");
    this.board = part("Cells", "board", el("div", { class: "scroll" }, el("table", {}, el("thead", {}, this.columns), this.lines)));
    this.slots = el("ul", { class: "plain slots" });
    this.idle = el("p", { class: "soft" });
    this.cellTitle = el("h2");
    this.cellWords = el("p", { class: "soft" });
    this.picture = el("div");
    this.few = el("p", { class: "soft" });
    this.rungRows = el("tbody");
    this.rungTable = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rungs" }, table(["step", "came", "stopped", "went on"], this.rungRows));
    this.rungWords = el("p", { class: "soft" });
    this.stopList = el("ul", { class: "plain soft" });
    this.rungPart = el("div", { hidden: true }, el("h3", { text: "Rungs" }), this.rungTable, this.rungWords, this.stopList);
    this.trialRows = el("tbody");
    this.moreRows = el("button", { class: "more", type: "button", hidden: true, on: { click: () => { this.rows += 200; this.showTrials(); } } });
    this.trialTable = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trials of the cell" },
      table(["trial", "stage", "state", "steps", "best AUC", "took", "searched"], this.trialRows, new Set([1, 2, 6])));
    this.cellPart = el("section", { class: "detail" }, this.cellTitle, this.cellWords,
      el("div", { class: "detail-grid" },
        el("div", { class: "curves" }, el("h3", { text: "Learning curves, source-dev AUC in percent" }), this.picture,
          el("ul", { class: "legend" }, ...LEGEND.map(([name, text]) => el("li", { class: name, text }))), this.few),
        this.rungPart),
      el("h3", { text: "Trials" }), this.trialTable, this.moreRows);
    this.failed = el("ul", { class: "plain" });
    this.failures = part("Failures", "failures", this.failed);
    this.tail = el("ol", { class: "plain log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Event log" });
    this.root = el("article", { class: "run" },
      el("div", { class: "title" }, el("h1", {}, this.name), this.badge, this.folder), this.words, this.warning, this.problem,
      el("dl", { class: "tiles" }, ...Object.values(this.tiles).map((each) => each.node)),
      el("div", { class: "over" }, this.board, part("Running now", "now", this.slots, this.idle)),
      this.failures, this.cellPart, part("Log", "tail", this.tail));
    this.lines.addEventListener("keydown", (event) => this.walk(event));
    new ResizeObserver(() => this.showCurves()).observe(this.picture);
  }

  take(view) {
    if (view.whole) {
      this.head = view.head;
      this.trials.clear();
      this.ofCell.clear();
      this.cells.clear();
      this.log = [];
      this.details.clear();
    }
    this.version = view.version;
    this.summary = view.summary;
    for (const cell of view.cells) this.cells.set(cell.number, cell);
    const touched = new Set();
    for (const row of view.trials) {
      const trial = Object.fromEntries(row.map((value, n) => [this.head.fields[n], value]));
      this.trials.set(trial.number, trial);
      if (!this.ofCell.has(trial.cell)) this.ofCell.set(trial.cell, new Map());
      this.ofCell.get(trial.cell).set(trial.number, trial);
      this.details.delete(trial.number);
      touched.add(trial.cell);
    }
    const last = this.log.length ? this.log.at(-1)[0] : 0;
    this.log.push(...view.log.filter(([number]) => number > last));
    this.log.splice(0, this.log.length - LOG_LINES);
    if (!this.chosen) this.follow();
    this.show(touched, view);
  }

  /** Look at the cell where something happens, until a person chooses one. */
  follow() {
    const cells = [...this.cells.values()];
    const now = this.cells.get(this.selected);
    if (now && now.running) return;
    const next = cells.find((cell) => cell.running) ?? cells.find((cell) => this.summary.best && this.trials.get(this.summary.best[1])?.cell === cell.number);
    this.selected = (next ?? now ?? cells[0] ?? { number: null }).number;
  }

  show(touched, view) {
    this.showSummary();
    this.showBoard();
    this.showSlots();
    if (touched.has(this.selected) || view.whole || this.shown !== this.selected) this.showCell();
    else if (this.cells.has(this.selected)) say(this.cellWords, this.cellSentence(this.cells.get(this.selected)));
    this.showFailures();
    this.showLog();
  }

  showSummary() {
    const { summary, cells } = this;
    const counts = summary.statuses;
    const ended = [...ENDED].reduce((sum, status) => sum + (counts[status] ?? 0), 0);
    const confirmed = [...cells.values()].filter((cell) => cell.phase === "confirmed").length;
    say(this.name, this.head.name);
    say(this.folder, this.head.folder === this.head.name ? "" : this.head.folder);
    this.root.setAttribute("aria-label", `Run ${this.head.name}`);
    say(this.badge, WORDS[summary.state]);
    if (this.state && this.state !== summary.state) say(document.getElementById("news"), `${this.head.name}: ${WORDS[summary.state]}. ${summary.words}`);
    this.state = summary.state;
    this.badge.className = `badge ${summary.state}`;
    say(this.words, `${summary.words}${summary.last ? ` Last news ${moment(summary.last)}.` : ""}`);
    this.warning.hidden = !this.head.generated;
    this.quiet(0);
    const { tiles } = this;
    say(tiles.cells.value, `${confirmed} of ${cells.size}`);
    const stuck = [...cells.values()].filter((cell) => BARREN.has(cell.phase)).length;
    say(tiles.cells.note, stuck ? `${stuck} without a result` : "");
    say(tiles.trials.value, summary.planned ? `${ended} of ${summary.trials}` : `${ended}`);
    const bad = (counts.failed ?? 0) + (counts.diverged ?? 0);
    say(tiles.trials.note, `${counts.done ?? 0} whole, ${counts.stopped ?? 0} stopped early${bad ? `, ${bad} failed` : ""}`);
    this.share = summary.planned && summary.trials ? ended / summary.trials : summary.state === "complete" ? 1 : 0;
    this.meter.firstChild.style.width = `${100 * this.share}%`;
    const best = summary.best && this.trials.get(summary.best[1]);
    say(tiles.best.value, best ? percent(summary.best[0]) : "none yet");
    say(tiles.best.note, best ? `${this.place(best)}, trial ${best.number}` : "");
    say(tiles.cost.value, duration(summary.seconds));
    const parts = [summary.cpu_seconds === null ? "" : `${duration(summary.cpu_seconds)} of processors`, summary.gpu_seconds ? `${duration(summary.gpu_seconds)} of GPUs` : ""];
    say(tiles.cost.note, parts.filter(Boolean).join(", "));
    const running = summary.state === "running" || summary.state === "unknown";
    say(tiles.left.value, running ? (summary.left === null ? "not known yet" : `about ${duration(summary.left)}`) : "-");
    say(tiles.left.note, running && summary.left !== null ? `with ${counts.running ?? 0} at once` : "");
  }

  /** Say what keeps the log from being read, if anything does, `age` seconds after it was. */
  quiet(age) {
    const { error } = this.summary;
    const silent = 1000 * age > SILENCE_MS;
    this.problem.hidden = !error && !silent;
    say(this.problem, error ? `The log cannot be read: ${error}` : silent ? `The log has not been read for ${duration(age)}: its store does not answer.` : "");
  }

  place(trial) {
    const cell = this.cells.get(trial.cell);
    return `${cell.method} on ${cell.protocol}`;
  }

  showBoard() {
    const cells = [...this.cells.values()];
    const methods = [...new Set(cells.map((cell) => cell.method))];
    const protocols = [...new Set(cells.map((cell) => cell.protocol))];
    const heads = ["", ...protocols];
    reconcile(this.columns, heads.map((name, n) => [n, name]), ([n, name]) => `${n} ${name}`,
      ([, name]) => el("th", { scope: "col" }, el("bdi", { text: name })), () => {});
    reconcile(this.lines, methods, (method) => method, (method) => el("tr", {}, el("th", { scope: "row", title: method }, el("bdi", { text: method }))),
      (row, method) => {
        while (row.children.length < protocols.length + 1) row.append(el("td"));
        protocols.forEach((protocol, n) => {
          const cell = cells.find((each) => each.method === method && each.protocol === protocol);
          const place = row.children[n + 1];
          if (!cell) return;
          if (!place.firstChild) place.append(this.button(cell.number));
          this.showButton(place.firstChild, cell);
        });
      });
    this.board.hidden = !cells.length;
  }

  button(number) {
    return el("button", { type: "button", on: { click: () => this.choose(number) } },
      el("bdi", { class: "where" }), el("span", { class: "phase" }, el("span"), el("span")),
      el("span", { class: "value" }, el("span"), document.createTextNode(" "), el("small")), el("span", { class: "meter" }, el("span")));
  }

  showButton(button, cell) {
    const [where, phase, value, meter] = button.children;
    const target = this.summary.targets.find(([number]) => number === cell.number)?.[1];
    say(where, cell.protocol);
    say(phase.firstChild, cell.phase);
    const [done, all] = [cell.searched + cell.confirmed, cell.searches + cell.confirms];
    say(phase.lastChild, `${done}/${all}${cell.failed ? `, ${cell.failed} failed` : ""}`);
    phase.lastChild.className = cell.failed ? "hurt" : "";
    const known = Array.isArray(target) && target.length ? target : null;
    if (known) {
      const mean = known.reduce((sum, each) => sum + each.error, 0) / known.length;
      say(value.firstChild, percent(mean));
      say(value.lastChild, `${known[0].name.toUpperCase()}${known.length > 1 ? `, mean of ${known.length}` : ""}`);
    } else {
      say(value.firstChild, cell.best ? percent(cell.best[0]) : "-");
      say(value.lastChild, cell.best ? "AUC, source-dev" : "");
    }
    meter.className = `meter${cell.phase === "confirmed" ? " good" : BARREN.has(cell.phase) ? " bad" : ""}`;
    meter.firstChild.style.width = `${all ? (100 * done) / all : 0}%`;
    button.className = cell.phase.replace(" ", "-");
    button.dataset.cell = cell.number;
    const chosen = cell.number === this.selected;
    button.setAttribute("aria-pressed", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }

  choose(number) {
    this.selected = number;
    this.chosen = true;
    this.rows = ROWS;
    this.showBoard();
    this.showCell();
  }

  /** Arrow keys, Home and End move over the board; it is one stop of the tab key. */
  walk(event) {
    const rows = [...this.lines.rows].map((row) => [...row.querySelectorAll("button")]);
    const at = event.target.closest("button");
    const y = rows.findIndex((row) => row.includes(at));
    if (y < 0) return;
    const x = rows[y].indexOf(at);
    const moves = { ArrowLeft: [y, x - 1], ArrowRight: [y, x + 1], ArrowUp: [y - 1, x], ArrowDown: [y + 1, x], Home: [y, 0], End: [y, rows[y].length - 1] };
    const [row, column] = moves[event.key] ?? [-1, -1];
    const next = rows[row]?.[column];
    if (!(event.key in moves)) return;
    event.preventDefault();
    next?.focus();
  }

  showSlots() {
    const running = [...this.trials.values()].filter((trial) => trial.status === "running");
    const alive = this.state === "running" || this.state === "unknown";
    reconcile(this.slots, running.slice(0, 200), (trial) => trial.number,
      () => el("li", {}, el("span", { class: "what" }, el("bdi"), el("span")), el("span", { class: "meter" }, el("span"))),
      (node, trial) => {
        const [what, meter] = node.children;
        say(what.firstChild, `${trial.number} ${this.place(trial)}`);
        what.firstChild.title = `trial ${trial.number}, ${this.place(trial)}, ${kind(trial)}`;
        say(what.lastChild, `${trial.stage} ${trial.steps}/${trial.total}`);
        meter.firstChild.style.width = `${(100 * trial.steps) / trial.total}%`;
      });
    const words = !running.length ? "Nothing." : alive ? "" : `${running.length} not ended: they go on from their last evaluation.`;
    say(this.idle, words);
    this.idle.hidden = !words;
  }

  showCell() {
    const cell = this.cells.get(this.selected);
    this.shown = this.selected;
    this.cellPart.hidden = !cell;
    if (!cell) return;
    this.cellPart.setAttribute("aria-label", `Cell ${cell.method} on ${cell.protocol}`);
    this.cellTitle.replaceChildren(el("bdi", { text: cell.method }), " on ", el("bdi", { text: cell.protocol }));
    say(this.cellWords, this.cellSentence(cell));
    const trials = this.inOrder(cell);
    this.showCurves(trials);
    this.showTrials(trials);
    this.showRungs(cell);
  }

  /** Draw the curves as wide as there is room, if something of them has changed. */
  showCurves(trials) {
    const cell = this.cells.get(this.selected);
    const width = Math.min(700, this.picture.clientWidth);
    if (!cell || !width) return;
    const drawable = (trials ?? this.inOrder(cell)).filter((trial) => trial.curve.length);
    const shown = drawable.slice(0, MOST_CURVES).reverse();
    const drawn = JSON.stringify([width, cell.number, shown.map((trial) => [trial.number, trial.status, trial.curve.length])]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const best = cell.best ? `best ${percent(cell.best[0])}, of trial ${cell.best[1]}` : "no result yet";
    const label = `Learning curves of ${cell.method} on ${cell.protocol}: ${shown.length} trials, ${best}`;
    this.picture.replaceChildren(curves(shown, cell.rungs, label, width));
    say(this.few, drawable.length > shown.length ? `The ${shown.length} that run, confirm or are best, of ${drawable.length}.` : "");
  }

  cellSentence(cell) {
    const words = [];
    if (cell.searches) words.push(`Search: ${cell.searched} of ${cell.searches} ended, ${cell.stopped} stopped early.`);
    words.push(`Confirmation: ${cell.confirmed} of ${cell.confirms} ended.`);
    if (cell.winner) words.push(`Trial ${cell.winner} won the search.`);
    if (cell.phase === "no winner") words.push("No trial finished, so nothing is confirmed.");
    words.push(`It took ${duration(cell.seconds)}.`);
    const target = this.summary.targets.find(([number]) => number === cell.number)?.[1];
    if (typeof target === "string") words.push(`Its target cannot be read: ${target}`);
    else if (target) {
      for (const each of target) {
        const spread = each.std === null ? "" : ` ± ${(100 * each.std).toFixed(1)}`;
        words.push(`${each.name.toUpperCase()} on the target of ${each.protocol}: ${(100 * each.error).toFixed(1)}${spread} %, AUC ${percent(each.auc)}, ${each.seeds} seeds${each.diverged ? `, ${each.diverged} diverged` : ""}.`);
      }
    } else words.push(cell.phase === "confirmed" ? "Its target is being read." : "Its target is sealed.");
    return words.join(" ");
  }

  /** Those that run first, then confirming runs, then by source-dev AUC. */
  inOrder(cell) {
    const rank = (trial) => (trial.status === "running" ? 0 : trial.stage === "confirm" ? 1 : 2);
    return [...(this.ofCell.get(cell.number)?.values() ?? [])].sort((a, b) => rank(a) - rank(b) || (b.auc ?? -1) - (a.auc ?? -1) || a.number - b.number);
  }

  showTrials(trials = this.inOrder(this.cells.get(this.selected))) {
    const rows = trials.slice(0, this.rows).flatMap((trial) => (this.open.has(trial.number) ? [[trial, false], [trial, true]] : [[trial, false]]));
    reconcile(this.trialRows, rows, ([trial, more]) => `${trial.number}${more ? " more" : ""}`,
      ([trial, more]) => (more ? el("tr", {}, el("td", { class: "opened", colspan: 7 })) : this.trialRow(trial.number)),
      (row, [trial, more]) => (more ? this.showMore(row.firstChild, trial) : this.fillRow(row, trial)));
    this.moreRows.hidden = trials.length <= this.rows;
    say(this.moreRows, `Show more of ${trials.length} trials`);
  }

  trialRow(number) {
    const toggle = () => {
      if (!this.open.delete(number)) this.open.add(number);
      this.showTrials();
    };
    return el("tr", {}, el("th", { scope: "row" }, el("button", { class: "plain-button", type: "button", text: number, on: { click: toggle } })),
      el("td", { class: "word" }), el("td", { class: "word" }), el("td"), el("td"), el("td"), el("td", { class: "wide" }));
  }

  fillRow(row, trial) {
    const [first, stage, state, steps, auc, took, searched] = row.children;
    const open = this.open.has(trial.number);
    first.firstChild.setAttribute("aria-expanded", open);
    first.firstChild.setAttribute("aria-label", `trial ${trial.number}, ${open ? "hide" : "show"} its configuration`);
    say(stage, kind(trial));
    say(state, trial.origin ? `${trial.status}, from ${trial.origin}` : trial.status);
    state.className = `word ${look(trial) === "bad" ? "state-bad" : trial.status === "done" ? "state-good" : ""}`;
    say(steps, `${trial.steps}/${trial.total}`);
    say(auc, percent(trial.auc, 2));
    say(took, duration(trial.seconds));
    say(searched, Object.entries(trial.searched).map(([name, value]) => `${name} ${short(value)}`).join(", "));
  }

  async showMore(place, trial) {
    if (this.details.has(trial.number)) return;
    this.details.add(trial.number);
    const found = await ask(`/api/runs/${this.number}/trials/${trial.number}`);
    if (!found) {
      this.details.delete(trial.number);
      return;
    }
    const facts = [["id", found.id], ...Object.entries(found.config)].flatMap(([name, value]) => [
      el("dt", {}, el("bdi", { text: name })), el("dd", {}, el("bdi", { text: typeof value === "object" ? JSON.stringify(value) : String(value) })),
    ]);
    place.replaceChildren(el("dl", { class: "facts" }, ...facts));
  }

  async showRungs(cell) {
    this.rungPart.hidden = !cell.rungs.length;
    if (!cell.rungs.length) return;
    const key = `${cell.number} ${this.number} ${cell.stopped} ${[...(this.ofCell.get(cell.number)?.values() ?? [])].reduce((sum, trial) => sum + trial.steps, 0)}`;
    if (key === this.rungsOf) return;
    this.rungsOf = key;
    const found = await ask(`/api/runs/${this.number}/cells/${cell.number}`);
    if (!found || this.selected !== cell.number) {
      this.rungsOf = "";
      return;
    }
    reconcile(this.rungRows, found.rungs, (rung) => rung.step, () => el("tr", {}, el("th", { scope: "row" }), el("td"), el("td"), el("td")),
      (row, rung) => [rung.step, rung.reached, rung.stopped, rung.reached - rung.stopped].forEach((value, n) => say(row.children[n], String(value))));
    say(this.rungWords, `About one in ${found.reduction} goes on. The last ${Math.min(MOST_STOPS, found.stops.length)} of ${found.stops.length} that were stopped:`);
    this.rungWords.hidden = !found.stops.length;
    reconcile(this.stopList, found.stops.slice(-MOST_STOPS).reverse(), (stop) => stop.trial, () => el("li"), (node, stop) => {
      const needed = stop.cutoff === null ? "" : `; ${percent(stop.cutoff, 2)} was needed`;
      say(node, `Trial ${stop.trial} stopped at step ${stop.step} with ${percent(stop.value, 2)}${needed}${stop.late ? ", as came out later" : ""}.`);
    });
  }

  showFailures() {
    const bad = [...this.trials.values()].filter((trial) => look(trial) === "bad").reverse();
    this.failures.hidden = !bad.length;
    reconcile(this.failed, bad.slice(0, FAILURES), (trial) => trial.number,
      () => el("li", {}, el("bdi"), el("span", { class: "reason" })),
      (node, trial) => {
        say(node.firstChild, `Trial ${trial.number} ${trial.status}: ${this.place(trial)}, ${kind(trial)}, step ${trial.steps}`);
        say(node.lastChild, trial.reason);
      });
  }

  showLog() {
    const { tail } = this;
    const atEnd = tail.scrollHeight - tail.scrollTop - tail.clientHeight < 40;
    reconcile(tail, this.log, ([number]) => number,
      ([number, at, tone, text]) => el("li", { class: tone }, at ? el("time", { datetime: at, text: clock(at) }) : el("span", { class: "soft", text: number }), el("bdi", { text })), () => {});
    if (atEnd) tail.scrollTop = tail.scrollHeight;
  }
}

function table(heads, body, words = new Set()) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((text, n) => el("th", { scope: "col", class: words.has(n) ? "word" : null, text })))), body);
}

function kind(trial) {
  return `${trial.stage}${trial.variant ? `, ablation ${trial.variant}` : ""}, seed ${trial.seed}`;
}

function short(value) {
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour12: false });
}

function moment(at) {
  const then = new Date(at);
  return then.toDateString() === new Date().toDateString() ? `at ${clock(at)}` : then.toLocaleString([], { hour12: false });
}

async function ask(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

const runs = [];
let heard = 0;

function connection(ok) {
  document.body.classList.toggle("lost-touch", !ok);
  line.classList.toggle("lost", !ok);
  say(line, ok ? "Live." : "No answer from the server; trying again.");
}

function title() {
  const signs = runs.map((run) => `${run.state === "running" ? `${Math.floor(100 * run.share)} %` : WORDS[run.state]} ${run.head.name}`);
  document.title = `${signs.join(" | ")} - fasray watch`;
}

function listen() {
  const source = new EventSource(`/api/events?seen=${runs.map((run) => run.version).join(",")}`);
  const again = () => {
    if (source.over) return;
    source.over = true;
    source.close();
    connection(false);
    setTimeout(listen, 1000);
  };
  const alive = () => {
    heard = Date.now();
    connection(true);
  };
  source.addEventListener("change", (event) => {
    const [number, view] = JSON.parse(event.data);
    runs[number].take(view);
    alive();
    title();
  });
  source.addEventListener("alive", (event) => {
    JSON.parse(event.data).forEach((age, number) => runs[number].quiet(age));
    alive();
  });
  source.onerror = again;
  const check = setInterval(() => {
    if (source.over) clearInterval(check);
    else if (Date.now() - heard > SILENCE_MS) again();
  }, 1000);
  heard = Date.now();
}

async function start() {
  const views = await ask("/api/runs");
  if (views === null) {
    connection(false);
    setTimeout(start, 1000);
    return;
  }
  const main = document.getElementById("main");
  views.forEach((view, number) => {
    runs.push(new Run(number));
    main.append(runs[number].root);
    runs[number].take(view);
  });
  connection(true);
  title();
  listen();
}

start();
