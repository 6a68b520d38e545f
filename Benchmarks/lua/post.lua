-- POST of 64 KiB with a Content-Length.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n", 1024)
dofile(os.getenv("BENCH_LUA") .. "/report.lua")
