"use strict";
// Small pieces that every part of the desk uses: elements, numbers as the page prints them, files to save.
(parts => {
  const SVG = "http://www.w3.org/2000/svg";

  // ---------- elements: text enters as text nodes only ----------
  function h(tag, props = {}, ...kids) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (value == null || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "style") for (const [k, v] of Object.entries(value)) k.startsWith("--") ? node.style.setProperty(k, v) : node.style[k] = v;
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...kids.flat().filter(kid => kid != null));
    return node;
  }
  function s(tag, props = {}, ...kids) {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
    node.append(...kids);
    return node;
  }
  const SIGNS = {
    "recipe": ["path", { d: "M6 .4L11.6 6 6 11.6.4 6Z", fill: "currentColor" }],
    "best seen": ["path", { d: "M6 1.4L11 10.6H1Z", fill: "none", stroke: "currentColor", "stroke-width": 1.5 }],
    "natural": ["circle", { cx: 6, cy: 6, r: 4.7, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }],
    "uniform": ["rect", { x: 1.4, y: 1.4, width: 9.2, height: 9.2, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }],
  };
  const shape = name => s(...(SIGNS[name] || SIGNS.uniform));
  const sign = name => s("svg", { viewBox: "0 0 12 12", class: "sign", "aria-hidden": "true" }, shape(name));
  const middle = (text, n) => { const c = [...text]; if (c.length <= n) return text; const a = (n - 1) >> 1; return c.slice(0, a).join("") + "…" + c.slice(a + 1 - n).join(""); };
  const bdi = (text, n = 28) => { const short = middle(text, n); return h("bdi", short === text ? {} : { title: text }, short); };
  const button = (label, onclick, more = {}) => h("button", { type: "button", class: "tbtn", onclick, ...more }, label);

  // A property or text is written only where it changed: what a frame costs is what it writes.
  function put(node, key, value) {
    const last = node.written ||= {};
    if (last[key] === value) return;
    last[key] = value;
    if (key === "text") node.textContent = value;
    else if (key === "style") node.style.cssText = value;
    else if (key === "class") node.setAttribute("class", value);
    else if (value === null) node.removeAttribute(key);
    else node.setAttribute(key, value);
  }

  // ---------- numbers as the page prints them ----------
  const value = x => !Number.isFinite(x) ? "–" : x.toFixed(Math.abs(x) < 100 ? 4 : 2).replace("-", "−");
  const diff = x => { if (!Number.isFinite(x)) return "–"; const t = value(Math.abs(x)); return /[1-9]/.test(t) ? (x < 0 ? "−" : "+") + t : t; };
  const percent = w => (100 * w).toFixed(1);

  // ---------- tables whose heads sort: numbers by value, missing last ----------
  function sorts(table) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    const of = (row, k) => row.cells[k].textContent.trim(), number = text => text === "–" ? null : Number.isFinite(parseFloat(text)) ? parseFloat(text) : text;
    heads.forEach((head, k) => {
      const names = [...head.childNodes]; head.append(h("button", { type: "button", onclick: () => {
        const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1; for (const one of heads) one.removeAttribute("aria-sort"); head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
        const rows = [...body.rows].map(row => [number(of(row, k).replace("−", "-")), row]);
        rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : (a > b ? 1 : a < b ? -1 : 0) * down); body.append(...rows.map(one => one[1]));
      } }, names));
    });
  }

  // ---------- files to save ----------
  const cell = v => v == null || Number.isNaN(v) ? "" : /[",\r\n]/.test(String(v)) ? '"' + String(v).replaceAll('"', '""') + '"' : String(v);
  const csv = rows => rows.map(row => row.map(cell).join(",")).join("\r\n") + "\r\n";
  function save(name, type, content) {
    const url = URL.createObjectURL(new Blob([content], { type })), a = h("a", { href: url, download: name });
    document.body.append(a); a.click(); a.remove(); setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
  async function copy(text, node) {
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch {
      const area = h("textarea", { style: { position: "fixed", opacity: "0" } }); area.value = text;
      document.body.append(area); area.select(); done = document.execCommand("copy"); area.remove();
    }
    node.textContent = done ? "Copied" : "Press Ctrl+C"; setTimeout(() => node.textContent = "Copy", 1200);
  }
  const idle = window.requestIdleCallback ? go => requestIdleCallback(go, { timeout: 300 }) : go => setTimeout(go, 30);

  parts.atoms = { h, s, shape, sign, middle, bdi, button, put, value, diff, percent, sorts, csv, save, copy, idle };
})(window.mixdeskParts ||= {});
