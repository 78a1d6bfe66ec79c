// The pages beside live calls and history, in the order of the menu: the first part of their address, and their name.
import { T } from "./texts.js";

export const PLACES = ["dial", "campaigns", "numbers", "profiles", "tools", "limits"].map((view) => ({ view, name: T.pages[view] }));
