try { document.documentElement.dataset.theme = localStorage.getItem("relaykit-theme") || "" } catch (e) {}
document.documentElement.classList.add("js")
