-- Drives a Neovim as a user does, by keys, in a recipe that is open in it. Run by another Neovim, whose directory is a
-- workspace with `recipes/demo.json`; `ZRECIPE` is the program and `ZRECIPE_EDITOR` the configuration of Neovim.
-- Writes what it has seen to `seen.json`.

local zrecipe, configuration = os.getenv("ZRECIPE"), os.getenv("ZRECIPE_EDITOR")
local seen = {}

local child = vim.fn.jobstart({ vim.v.progpath, "--embed", "--headless", "--clean", "-n" }, { rpc = true })

local function lua(code, ...)
  return vim.rpcrequest(child, "nvim_exec_lua", code, { ... })
end

local function keys(typed)
  vim.rpcrequest(child, "nvim_input", typed)
end

local function await(what, condition)
  local ok = vim.wait(60000, condition, 20)
  if not ok then
    -- A question would keep it from answering.
    if vim.rpcrequest(child, "nvim_get_mode").blocking then
      keys("<C-c>")
    end
    error("Neovim waited in vain until " .. what .. "; its messages: " .. lua("return vim.fn.execute('messages')"))
  end
end

local function text()
  return lua("return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n')")
end

local function diagnostics()
  return lua([[
    local found = {}
    for _, at in ipairs(vim.diagnostic.get(0)) do
      local line = vim.api.nvim_buf_get_lines(0, at.lnum, at.lnum + 1, false)[1] or ""
      table.insert(found, { at.lnum + 1, vim.str_utfindex(line, at.col) + 1, at.code or at.user_data.lsp.code })
    end
    return found
  ]])
end

local function play()
  lua(
    [[
      local configuration, zrecipe = ...
      vim.opt.runtimepath:append(configuration)
      require("zrecipe").setup({ cmd = { zrecipe, "lsp" } })
      vim.o.completeopt = "menu,menuone,noselect"
    ]],
    configuration,
    zrecipe
  )
  keys(":edit recipes/demo.json<CR>")
  await("findings are shown", function()
    return #diagnostics() > 0
  end)
  seen.diagnostics = diagnostics()

  -- A queue is completed: chosen with Ctrl-N, taken with Ctrl-Y.
  keys([[/"queue": "arch<CR>A]])
  local line = lua("return vim.api.nvim_get_current_line()")
  local function is_offered()
    return lua("return vim.fn.pumvisible()") == 1
  end
  keys([[<Left><Left><C-x><C-o>]])
  await("queues are offered", function()
    -- Before the server has read the other recipes there are none.
    return is_offered() or vim.wait(500, is_offered, 20) or keys("<C-x><C-o>")
  end)
  seen.offered = lua("return vim.tbl_map(function(item) return item.word end, vim.fn.complete_info({'items'}).items)")
  await("the queue is chosen", function()
    if text():find('"archive.fast"', 1, true) then
      return true
    end
    -- A late answer of the server closes the list, and the next key finds words instead: from the start.
    if not is_offered() then
      keys("<Esc>")
      lua("vim.api.nvim_set_current_line(...)", line)
      keys("A<Left><Left><C-x><C-o>")
      vim.wait(5000, is_offered, 20)
    end
    keys("<C-n>")
    vim.wait(200)
    return text():find('"archive.fast"', 1, true) ~= nil
  end)
  keys("<C-y><Esc>")
  await("the queue is completed", function()
    return lua("return vim.api.nvim_get_mode().mode") == "n" and lua("return vim.fn.pumvisible()") == 0
  end)
  seen.completed = text()

  -- A step is renamed, with all links to it.
  keys([[gg/"2":<CR>l]])
  keys([[:lua vim.lsp.buf.rename("7")<CR>]])
  await("the step is renamed", function()
    return text():find('"7":', 1, true) ~= nil
  end)
  seen.renamed = text()

  -- Many edits as an editor sends them; what is shown afterwards is what a fresh look at the text finds.
  lua([[
    math.randomseed(7)
    local pieces = { '"', "{", "}", "[", "]", ",", ":", "é", "😀", "\\u00e9", ' "3": { "queue": "x" },', " 2 ", "{x}" }
    for _ = 1, 300 do
      local count = vim.api.nvim_buf_line_count(0)
      local line = math.random(count) - 1
      local now = vim.api.nvim_buf_get_lines(0, line, line + 1, false)[1]
      -- Positions between characters.
      local from = vim.fn.byteidx(now, math.random(0, vim.fn.strchars(now)))
      local dice = math.random(10)
      if dice <= 6 then
        local piece = pieces[math.random(#pieces)]
        vim.api.nvim_buf_set_lines(0, line, line + 1, false, { now:sub(1, from) .. piece .. now:sub(from + 1) })
      elseif dice == 7 then
        vim.api.nvim_buf_set_lines(0, line, line + 1, false, { now:sub(1, from), now:sub(from + 1) })
      elseif dice == 8 then
        vim.cmd("silent! undo")
      elseif line + 1 < count then
        vim.cmd(string.format("silent %djoin!", line + 1))
      end
    end
    vim.cmd("silent write")
  ]])
  -- The server answers in order: once it has answered, it has said all that it says of the text.
  seen.quiet = lua([[
    local params = { textDocument = vim.lsp.util.make_text_document_params() }
    local last, same = "", 0
    vim.wait(60000, function()
      vim.lsp.buf_request_sync(0, "textDocument/foldingRange", params, 60000)
      local now = vim.inspect(vim.diagnostic.get(0))
      same = now == last and same + 1 or 0
      last = now
      return same == 5
    end, 100)
    return same == 5
  ]])
  seen.after = diagnostics()

  -- A run, from elsewhere, of what has not been written: first declined, then not. Questions need a screen.
  vim.rpcrequest(child, "nvim_ui_attach", 80, 24, vim.empty_dict())
  keys(":edit run.txt<CR>iunwritten<Esc>")
  await("it is typed", function()
    return lua("return vim.api.nvim_get_mode().mode") == "n" and text() == "unwritten"
  end)
  lua([[
    vim.cmd("cd /")
    local tell = "{ pwd; printf '%s\\n' \"$0\" \"$@\"; cat \"$4\"; } >ran.new; mv ran.new ran"
    require("zrecipe").setup({ cmd = { "sh", "-c", tell, "lsp", "--stdio", "--site", "a b.yml" } })
  ]])
  local function is_asking()
    return vim.rpcrequest(child, "nvim_get_mode").mode == "r?"
  end
  seen.windows = {}
  for _, answer in ipairs({ "c", "r" }) do
    keys(":ZrecipeRun<CR>")
    await("it asks", is_asking)
    keys(answer)
    await("it has the answer", function()
      return not is_asking()
    end)
    table.insert(seen.windows, lua("return #vim.api.nvim_list_wins()"))
  end
  await("the recipe is run", function()
    return vim.fn.filereadable("ran") == 1
  end)
  seen.ran = vim.fn.readfile("ran")
  keys(":qall!<CR>")
end

local ok, why = pcall(play)
if not ok then
  seen.failed = tostring(why)
end
local out = assert(io.open("seen.json", "w"))
out:write(vim.fn.json_encode(seen))
out:close()
vim.fn.jobstop(child)
vim.cmd("qall!")
