// WeirFiles: what its page shows.

import WeirFiles

enum FilesExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        let types = ContentTypes(overrides: [("wasm", "application/wasm")])
        print(types.type(of: "assets/site.css"))
        let immutable = FilePattern("/assets/*")
        print("\(immutable.matches("assets/site.css")) \(immutable.matches("index.html"))")
        // …to here.
    }
}
