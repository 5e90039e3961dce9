/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search as one types. Without this script the form works as it is. Everything that comes from the
 * server is set as text, never as markup.
 */
"use strict";
(function () {
    const input = document.getElementById("wd-q");
    if (!input || !window.fetch)
        return;
    const list = document.createElement("ul");
    list.className = "suggest";
    list.id = "wd-suggest";
    list.setAttribute("role", "listbox");
    input.form.appendChild(list);
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-controls", list.id);
    input.setAttribute("aria-expanded", "false");

    let timer = 0, running = null, chosen = -1, shown = "";

    function add(parent, name, text) {
        const element = document.createElement(name);
        element.textContent = text;
        parent.appendChild(element);
        return element;
    }
    function clear() {
        list.replaceChildren();
        input.setAttribute("aria-expanded", "false");
        input.removeAttribute("aria-activedescendant");
        chosen = -1;
        shown = "";
    }
    function choose(n) {
        const rows = list.children;
        if (rows[chosen])
            rows[chosen].removeAttribute("aria-selected");
        chosen = rows.length === 0 ? -1 : (n + rows.length) % rows.length;
        if (!rows[chosen])
            return;
        rows[chosen].setAttribute("aria-selected", "true");
        rows[chosen].scrollIntoView({ block: "nearest" });
        input.setAttribute("aria-activedescendant", rows[chosen].id);
    }
    function show(results, query) {
        clear();
        shown = query;
        results.forEach(function (result, i) {
            const row = add(list, "li", "");
            const link = add(row, "a", "");
            row.setAttribute("role", "option");
            row.id = "wd-suggest-" + i;
            link.href = result.url;
            link.tabIndex = -1;
            add(link, "b", result.title);
            add(link, "i", result.kind + " \u00b7 " + result.where);
            add(link, "p", result.text);
        });
        input.setAttribute("aria-expanded", String(results.length !== 0));
    }
    function ask() {
        const query = input.value.trim();
        if (running)
            running.abort();
        if (query === "") {
            clear();
            return;
        }
        running = new AbortController();
        fetch("/search.json?q=" + encodeURIComponent(query), { signal: running.signal })
            .then(function (answer) { return answer.ok ? answer.json() : { results: [] }; })
            .then(function (found) {
                if (document.activeElement === input)
                    show(found.results, query);
            })
            .catch(function () { /* another letter was typed, or the server is gone */ });
    }

    input.addEventListener("input", function () {
        clearTimeout(timer);
        timer = setTimeout(ask, 80);
    });
    input.addEventListener("keydown", function (event) {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            if (list.children.length === 0)
                return;
            event.preventDefault();
            choose(event.key === "ArrowDown" ? chosen + 1 : (chosen < 0 ? 0 : chosen) - 1);
        } else if (event.key === "Enter" && list.children[chosen]) {
            event.preventDefault();
            location.href = list.children[chosen].firstChild.href;
            clear();
        } else if (event.key === "Escape") {
            if (shown === "")
                input.blur();
            clear();
        }
    });
    document.addEventListener("keydown", function (event) {
        const at = document.activeElement;
        const typing = at && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName));
        if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey ||
            (typing && at.type !== "checkbox"))
            return;
        event.preventDefault();
        input.focus();
        input.select();
    });
    document.addEventListener("click", function (event) {
        if (!input.form.contains(event.target))
            clear();
    });
    document.addEventListener("focusin", function (event) {
        if (!input.form.contains(event.target))
            clear();
    });
})();
