// Settings of one of libcurl's handles, with a memory for whether all were taken.

import CCurl

struct EasyOptions {
    let easy: UnsafeMutableRawPointer
    private(set) var isTaken = true
    /// Must live as long as the handle.
    private(set) var lists: [UnsafeMutablePointer<curl_slist>] = []

    init(_ easy: UnsafeMutableRawPointer) { self.easy = easy }

    private mutating func note(_ code: CURLcode) { isTaken = isTaken && code == CURLE_OK }

    mutating func set(_ option: CURLoption, _ value: Int) { note(weir_curl_number(easy, option, value)) }

    mutating func setSize(_ option: CURLoption, _ value: Int64) {
        note(weir_curl_size(easy, option, curl_off_t(value)))
    }

    mutating func set(_ option: CURLoption, _ value: String?) { note(weir_curl_text(easy, option, value)) }

    mutating func setPointer(_ option: CURLoption, _ value: UnsafeMutableRawPointer) {
        note(weir_curl_pointer(easy, option, value))
    }

    /// Copied by libcurl.
    mutating func setBytes(_ option: CURLoption, _ bytes: [UInt8]) {
        var bytes = bytes
        note(bytes.withUnsafeMutableBytes { weir_curl_pointer(easy, option, $0.baseAddress) })
    }

    mutating func setList(_ option: CURLoption, _ lines: [String]) {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines {
            guard let longer = weir_curl_slist_append(list, line) else {
                isTaken = false
                break
            }
            list = longer
        }
        if let list { lists.append(list) }
        note(weir_curl_list(easy, option, list))
    }
}
