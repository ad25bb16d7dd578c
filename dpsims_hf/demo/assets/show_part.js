() => ({ __type__: "update", visible: true })
