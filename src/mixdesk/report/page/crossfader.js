"use strict";
// The crossfader: from the reference to the recipe and 30 % beyond, to see how much of the gain comes early.
(parts => {
  const { h, sign, put } = parts.atoms;

  parts.crossfader = ({ DESK, store }) => {
    const from = store.preset(DESK.reference), to = store.preset("recipe"), name = DESK.is_refused ? "refused candidate" : "recipe";
    const said = h("output", { class: "u" }), range = h("input", { type: "range", min: 0, max: 130, step: 1, "aria-label": `crossfader, ${from.name} to ${name}` });
    const mark = (who, t) => h("i", { style: { "--t": t / 1.3 } }, sign(who));
    const node = h("div", { class: "cross" }, h("span", { class: "u" }, `${from.name} to ${name}`), h("div", { class: "way" }, range, mark(from.name, 0), mark("recipe", 1)), said);
    let isMine = false;
    // Where the mixture is on the path: as set here, or at one of its ends; elsewhere the knob is dim.
    function tell() {
      const is = weights => weights.every((w, i) => w === store.mixture[i]), t = isMine ? range.value / 100 : is(from.weights) ? 0 : is(to.weights) ? 1 : null;
      if (t !== null) range.value = 100 * t;
      const text = t === null ? "off the path" : t > 1 ? `${Math.round(100 * t - 100)} % beyond` : `${Math.round(100 * t)} %`;
      put(node, "class", t === null ? "cross off" : "cross"); put(said, "text", text); put(range, "aria-valuetext", text);
    }
    range.addEventListener("input", () => { isMine = true; store.fade(from.weights, to.weights, range.value / 100); isMine = false; });
    store.on("moved", tell); store.on("undo", tell); tell();
    return node;
  };
})(window.mixdeskParts ||= {});
