// finds tiles by id, by layer, by place of the grid, and any word of the page
(() => {
  const known = JSON.parse(document.getElementById("tiles").textContent);
  const query = document.getElementById("query"), found = document.getElementById("found");
  const MOST = 12, NONE = 65535;
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const column = (name) => (known[name] ? bytes(known[name]) : null);
  const state = column("state");
  const wide = {};
  for (const name of ["residual", "left", "pairs"]) {
    const raw = column(name);
    wide[name] = raw && new Uint16Array(raw.buffer); // little-endian, as all browsers are
  }
  const cells = known.cells || [], layers = known.z || [];

  function tilesOf(text) {
    const id = text.match(/(\d\d-\d\d-\d\d_\d{6})(?:_\d+-(\d+)-(\d+))?(?:\.patch)?(?:\.(\d+)(?:\.0)?)?/);
    const words = text.match(/^(?:z\s*)?(\d+)?\s*(?:(\d+)-(\d+))?$/i);
    const cell = id && id[2] ? `${id[2]}-${id[3]}` : words && words[2] ? `${words[2]}-${words[3]}` : null;
    const at = id ? [id[4] ? layers.indexOf(Number(id[4])) : (known.stamp || []).indexOf(id[1])]
      : words && words[1] ? [layers.indexOf(Number(words[1]))] : cell ? layers.keys() : [];
    const out = [];
    for (const k of at) for (const [c, name] of cells.entries()) {
      if (k >= 0 && out.length < MOST && (!cell || cell === name) && state[k * cells.length + c] !== 255) out.push([k, c]);
    }
    return out;
  }
  function describe([k, c]) {
    const i = k * cells.length + c, says = [`z ${layers[k]}, ${cells[c]}`, known.states[state[i]]];
    const px = (name) => wide[name] && wide[name][i] !== NONE && wide[name][i] / 1000;
    if (wide.pairs && wide.pairs[i] !== NONE) says.push(`${wide.pairs[i]} pairs`);
    if (px("residual") !== false && px("residual") !== null) says.push(`residual ${px("residual").toFixed(2)} px`);
    if (px("left") !== false && px("left") !== null) says.push(`left over ${px("left").toFixed(2)} px`);
    return says.filter(Boolean).join(" · ");
  }
  function tile(entry) {
    const box = document.createElement("div"), [k, c] = entry;
    const [row, col] = cells[c].split("-"), z = layers[k];
    box.append(describe(entry), " ");
    const lines = `review:\n  exclude:\n    - {cells: ["${row},${col}"], z_first: ${z}, z_last: ${z}, reason: why}\n`;
    const button = copyButton("the lines that take this tile out", lines);
    button.title = "Copies the lines that take this tile out";
    box.append(button);
    if (known.viewer) {
      const go = document.createElement("a");
      go.href = at(z);
      go.target = "_blank";
      go.rel = "noopener";
      go.textContent = "open in neuroglancer";
      box.append(" ", go);
    }
    return box;
  }
  // the viewer's link with its position at a layer
  function at(z) {
    const [base, state] = known.viewer.split("#!");
    try {
      const shown = JSON.parse(decodeURIComponent(state));
      shown.position = [...shown.position.slice(0, 2), z + 0.5];
      return `${base}#!${encodeURIComponent(JSON.stringify(shown))}`;
    } catch {
      return known.viewer; // of another viewer, whose state is not known
    }
  }
  function places(words) {
    const hits = [];
    for (const one of document.querySelectorAll("main figcaption, main tr, main .findings li, main .rows div, main h2")) {
      if (hits.length < MOST && one.textContent.toLowerCase().includes(words)) hits.push(one);
    }
    return hits;
  }
  function link(one) {
    const box = document.createElement("div"), go = document.createElement("a");
    go.href = `#${one.closest("section").id}`;
    go.textContent = one.textContent.replace(/\s+/g, " ").trim().slice(0, 90);
    go.addEventListener("click", (event) => {
      event.preventDefault();
      for (let up = one; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
      one.scrollIntoView({ block: "center" });
      document.querySelectorAll(".hit").forEach((each) => each.classList.remove("hit"));
      one.classList.add("hit");
      one.tabIndex = -1;
      one.focus();
    });
    box.append(go);
    return box;
  }
  function look() {
    const text = query.value.trim();
    found.replaceChildren();
    if (text.length < 1) return;
    const tiles = tilesOf(text), hits = text.length > 1 ? places(text.toLowerCase()) : [];
    found.append(...tiles.map(tile), ...hits.map(link));
    if (!tiles.length && !hits.length) found.append("nothing found");
    const report = document.getElementById("search").dataset.report;
    if (report) {
      const box = document.createElement("div"), go = document.createElement("a");
      go.href = `${report}#find=${encodeURIComponent(text)}`;
      go.textContent = "look in the report";
      box.append(go);
      found.append(box);
    }
  }
  query.addEventListener("input", look);
  // another page may ask: report/index.html#find=z 26
  function asked() {
    const words = location.hash.match(/^#find=(.*)$/);
    if (!words) return;
    query.value = decodeURIComponent(words[1]);
    look();
    query.scrollIntoView({ block: "nearest" });
  }
  addEventListener("hashchange", asked);
  asked();
  document.getElementById("search").addEventListener("submit", (event) => {
    event.preventDefault();
    look();
    const first = found.querySelector("a:not([target])");
    if (first) first.click();
  });
})();
