// Tells the values under the pointer, or under the arrow keys. Without it the plots are still there.
for (const script of document.querySelectorAll("script.data")) {
  const data = JSON.parse(script.textContent);
  const plot = document.getElementById(data.id);
  const tip = plot.querySelector(".tip"), cursor = plot.querySelector(".cursor");
  const [left, right] = data.range;
  let at = -1;

  const nearest = (x) => {
    let low = 0, high = data.x.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.x[middle] < x) low = middle + 1; else high = middle;
    }
    return low > 0 && x - data.x[low - 1] < data.x[low] - x ? low - 1 : low;
  };
  const number = (value) => value === null ? "n/a" : value.toLocaleString("en", { maximumSignificantDigits: 8 }) + data.unit;

  const show = (index, x) => {
    at = index;
    const share = (x - left) / (right - left);
    const lines = [data.names ? data.names[index] : new Date(x).toISOString().replace("T", " ").replace("Z", " UTC")];
    for (const line of data.lines) lines.push(line.name + ": " + number(line.y[index]));
    const close = data.marks.filter((mark) => mark.text && Math.abs(mark.x - x) <= (right - left) * 0.004);
    for (const mark of close.slice(0, 4)) lines.push(mark.text);
    if (close.length > 4) lines.push("and " + (close.length - 4) + " more");
    tip.textContent = lines.join("\n");
    tip.hidden = cursor.hidden = false;
    cursor.style.left = share * 100 + "%";
    tip.style.left = share < 0.5 ? share * 100 + "%" : "auto";
    tip.style.right = share < 0.5 ? "auto" : (1 - share) * 100 + "%";
  };
  const hide = () => { tip.hidden = cursor.hidden = true; at = -1; };

  if (data.x.length === 0) continue;
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const x = left + (event.clientX - box.left) / box.width * (right - left);
    const index = nearest(x);
    show(index, data.marks.length > 0 && !data.names ? Math.min(Math.max(x, left), right) : data.x[index]);
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
    if (!by) return;
    event.preventDefault();
    const index = Math.min(Math.max(at < 0 ? 0 : at + by, 0), data.x.length - 1);
    show(index, data.x[index]);
  });
}
