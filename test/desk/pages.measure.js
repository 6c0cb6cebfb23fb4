// Runs in the page: contrast of every visible text with what lies behind it (WCAG 2.2, 1.4.3), and what sticks out.
(() => {
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor);
      if ((colour[3] ?? 1) > 0) return colour;
    }
    return [255, 255, 255];
  };
  const contrasts = [...document.querySelectorAll("body *")].flatMap((element) => {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.textContent.trim())
      .join("");
    if (text === "" || element.getClientRects().length === 0) return [];
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
    return [{ text, ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) }];
  });
  const width = document.documentElement.clientWidth;
  const sticksOut = [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > width + 1)
    .map((element) => `${element.tagName} ${element.className} ${element.id}`);
  return { sticksOut: document.documentElement.scrollWidth > width ? sticksOut : [], contrasts };
})();
