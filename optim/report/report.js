// Details are open in prints.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

// Tips appear at once and on touch. Without this script they are the titles of the marks, which browsers show later.
const tip = document.body.appendChild(Object.assign(document.createElement("div"), {id: "tip", hidden: true}));
for (const title of document.querySelectorAll(".chart title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
addEventListener("pointerover", (event) => {
  const mark = event.target.closest("[data-tip]");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.dataset.tip;
  const box = mark.getBoundingClientRect(), width = document.documentElement.clientWidth;
  tip.style.left = `${Math.max(4, Math.min(box.left + scrollX, width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${box.top + scrollY - tip.offsetHeight - 6}px`;
});

// A figure is saved with the colours for light paper, as a program that knows no style sheet of this page needs them.
for (const link of document.querySelectorAll("a.save"))
  link.addEventListener("click", () => {
    const drawing = new XMLSerializer().serializeToString(link.closest("figure").querySelector("svg"));
    const drawn = drawing.replace(/var\(--(\w+)\)/g, (_, name) => paper[name]);
    link.href = URL.createObjectURL(new Blob([drawn], {type: "image/svg+xml"}));
  });
