// What other programs reach: sessions of their own at the vendor, and the control endpoint.
import { Element, html } from "./base.js";
import "./control.js";
import "./secrets.js";

class Endpoints extends Element {
  static properties = { me: { attribute: false } };

  render() {
    return html`<cf-secrets .me=${this.me}></cf-secrets><cf-control .me=${this.me}></cf-control>`;
  }
}
customElements.define("cf-endpoints", Endpoints);
