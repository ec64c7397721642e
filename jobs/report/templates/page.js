"use strict";
for (const input of document.querySelectorAll(".slider input")) {
  input.addEventListener("input", () => input.parentElement.style.setProperty("--cut", input.value + "%"));
}
for (const pair of document.querySelectorAll(".videos")) {
  const [one, other] = pair.querySelectorAll("video");
  one.addEventListener("play", () => { other.currentTime = one.currentTime; other.play(); });
  one.addEventListener("pause", () => other.pause());
  one.addEventListener("seeked", () => { other.currentTime = one.currentTime; });
}
