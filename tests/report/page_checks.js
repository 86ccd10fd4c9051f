// What tests ask an open page: whatever is found wrong, as text. Run with `execute_script`, followed by one of the calls.

function nameless() {
  const named = (e) => e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim() || e.title;
  const used = [...document.querySelectorAll("button, select, input, audio, a, svg[role=img], .scroll")];
  const pictures = [...document.querySelectorAll("img:not([alt])")];
  return [...used.filter((e) => !named(e)), ...pictures].map((e) => e.outerHTML);
}

function twice() {
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  return ids.filter((id, index) => ids.indexOf(id) !== index);
}

// Texts whose contrast to their ground is below 4.5 : 1 (WCAG 2.2, 1.4.3).
function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255];
  };
  const hasText = (e) => [...e.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  const found = [];
  for (const e of document.querySelectorAll("main *, header *, footer *")) {
    if (e.closest("svg, .plot, option") || !e.checkVisibility() || !hasText(e)) continue;
    const pair = [luminance(rgb(getComputedStyle(e).color)), luminance(ground(e))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${e.outerHTML.slice(0, 120)}`);
  }
  return found;
}
