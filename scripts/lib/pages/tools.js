// a button copies a path, a command or lines; a slider uncovers one picture or the other
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
function copyButton(what, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${what}`);
  button.addEventListener("click", () => copy(text, button));
  return button;
}
for (const one of document.querySelectorAll(".copied code")) {
  const name = one.parentNode.querySelector(".name").textContent;
  one.after(copyButton(name, one.textContent));
}
for (const one of document.querySelectorAll("pre")) {
  const around = document.createElement("div");
  around.className = "lines";
  one.tabIndex = 0;
  one.replaceWith(around);
  around.append(one, copyButton("these lines", one.textContent));
}
for (const slider of document.querySelectorAll(".compared input")) {
  const over = slider.parentNode.querySelector(".over");
  const cut = () => over.style.setProperty("--cut", `${slider.value}%`);
  slider.addEventListener("input", cut);
  over.addEventListener("pointermove", (event) => {
    const box = over.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    cut();
  });
}
// a link may lead to what is folded away
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
}
addEventListener("hashchange", unfold);
unfold();
