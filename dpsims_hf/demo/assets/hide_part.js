() => ({ __type__: "update", visible: false })
