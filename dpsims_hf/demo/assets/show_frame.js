(frame) => ({ __type__: "update", selected_index: frame - 1 })
