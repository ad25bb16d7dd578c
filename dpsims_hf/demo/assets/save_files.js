(files) => {
  // The browser saves what the server just made: [name, base64, type] each.
  for (const [name, content, type] of files || []) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}
