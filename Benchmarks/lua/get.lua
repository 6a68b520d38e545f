-- Plain GETs: the request is built once by wrk, no Lua runs per request.
dofile(os.getenv("BENCH_LUA") .. "/report.lua")
