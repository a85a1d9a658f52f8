// Pages opened from disk may not start a worker: a hidden frame takes its place, so that the search works there too.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      const answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.frame.addEventListener("load", () => {
        this.ready = true;
        for (const each of this.waiting.splice(0)) this.postMessage(each);
      });
      window.__answers = { ...window.__answers, [url]: answer };
      const start = `<base href="${document.baseURI}"><script>
        self.postMessage = (data) => parent.__answers[${JSON.stringify(String(url))}](data);
        self.importScripts = (...names) => names.reduce((before, name) => before.then(() => new Promise((done, fail) => {
          const script = Object.assign(document.createElement("script"), { src: name, onload: done, onerror: fail });
          document.body.append(script);
        })), Promise.resolve());
      </scr${""}ipt><script src="${url}"></scr${""}ipt>`;
      this.frame.srcdoc = `<body>${start}</body>`;
      const add = () => document.body.append(this.frame);
      if (document.body) add();
      else addEventListener("DOMContentLoaded", add);
    }
    postMessage(data) {
      if (!this.ready) this.waiting.push(data);
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
