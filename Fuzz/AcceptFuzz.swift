// Accept: whatever the bytes, a choice is one that was offered, and taking others away does not change it.

import WeirHTTPModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    var accepted = AcceptedForms()
    withExact(input, count) { accepted.add(UnsafeBufferPointer(start: $0, count: count)) }
    let chosen = accepted.choice { _ in true }
    for form in ContentForm.allCases {
        let alone = accepted.choice { $0 == form }
        require(alone == nil || alone == form, "\(form) was offered alone")
        guard let chosen else {
            require(alone == nil, "\(form) is taken alone, and not among all")
            continue
        }
        require(accepted.choice { $0 == form || $0 == chosen } == chosen, "\(form) is liked better")
    }
    require(accepted.choice { _ in false } == nil, "nothing was offered")
    return 0
}
