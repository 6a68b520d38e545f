-- GETs spread over BENCH_ROUTES routes: hosts site0.test, site1.test, …, and prefixes /p0/, /p1/, … below each; the
-- same arithmetic as harness/peers.py. The stride is prime to any number of routes used, so that neighbours in
-- time are not neighbours in the table.
local count = tonumber(os.getenv("BENCH_ROUTES"))
local hosts = tonumber(os.getenv("BENCH_HOSTS"))
local requests = {}
local next = 0

function init(args)
    local prefixes = count / hosts
    for i = 0, count - 1 do
        local host = math.floor(i / prefixes)
        wrk.headers["Host"] = "site" .. host .. ".test"
        requests[i] = wrk.format("GET", "/p" .. (i % prefixes) .. "/128")
    end
end

function request()
    next = (next + 37) % count
    return requests[next]
end

dofile(os.getenv("BENCH_LUA") .. "/report.lua")
