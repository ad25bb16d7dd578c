() => setTimeout(() => document.querySelector("#style-make").click(), 50) && null
