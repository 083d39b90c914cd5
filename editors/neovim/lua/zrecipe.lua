-- Starts `zrecipe lsp` for the files of Zocalo. Works from Neovim 0.7 on and needs no other plug-in.

local M = {}

local defaults = {
  -- How the server is started.
  cmd = { "zrecipe", "lsp" },
  -- A directory with one of these is a workspace; else it is the directory of the file.
  root_markers = { "zrecipe.toml", ".git" },
  -- Whether the files that the workspace names count where they are outside of it, and recipes are run without a
  -- question.
  trusted = false,
  -- Called with the client and the buffer once the server is there.
  on_attach = nil,
  -- Added to what Neovim says that it can do, as completion plug-ins ask for.
  capabilities = nil,
}

local options = defaults
-- Clients by root.
local clients = {}

local function is_ours(path, filetype)
  if filetype == "json" or filetype == "yaml" then
    return true
  end
  return vim.fn.fnamemodify(path, ":t") == "zrecipe.toml"
end

local function root_of(path)
  local at = vim.fn.fnamemodify(path, ":p:h")
  local directory = at
  while true do
    for _, marker in ipairs(options.root_markers) do
      if vim.loop.fs_stat(directory .. "/" .. marker) then
        return directory
      end
    end
    local above = vim.fn.fnamemodify(directory, ":h")
    if above == directory then
      return at
    end
    directory = above
  end
end

local function attached(client, buffer)
  vim.bo[buffer].omnifunc = "v:lua.vim.lsp.omnifunc"
  if client.server_capabilities.codeLensProvider then
    local group = vim.api.nvim_create_augroup("zrecipe_lens_" .. buffer, { clear = true })
    vim.api.nvim_create_autocmd({ "BufEnter", "InsertLeave", "BufWritePost" }, {
      group = group,
      buffer = buffer,
      callback = function()
        vim.lsp.codelens.refresh()
      end,
    })
  end
  if options.on_attach then
    options.on_attach(client, buffer)
  end
end

-- Starts the server for a buffer, or lets the one that its workspace has serve it as well.
function M.attach(buffer)
  local path = vim.api.nvim_buf_get_name(buffer)
  if path == "" or vim.bo[buffer].buftype ~= "" or not is_ours(path, vim.bo[buffer].filetype) then
    return
  end
  local root = root_of(path)
  if not clients[root] then
    local capabilities = vim.lsp.protocol.make_client_capabilities()
    capabilities.experimental = { zrecipeCommands = true }
    clients[root] = vim.lsp.start_client({
      name = "zrecipe",
      cmd = options.cmd,
      root_dir = root,
      workspace_folders = { { uri = vim.uri_from_fname(root), name = root } },
      capabilities = vim.tbl_deep_extend("force", capabilities, options.capabilities or {}),
      init_options = { trusted = options.trusted },
      on_attach = attached,
      on_exit = function()
        clients[root] = nil
      end,
    })
  end
  if clients[root] then
    vim.lsp.buf_attach_client(buffer, clients[root])
  end
end

-- Shows the graph of the recipe in the current buffer in a window of its own, in a format of `zrecipe graph`.
function M.graph(format)
  local params = { textDocument = vim.lsp.util.make_text_document_params(), format = format }
  vim.lsp.buf_request(0, "zrecipe/graph", params, function(err, answer)
    if err then
      vim.notify(err.message, vim.log.levels.ERROR)
      return
    end
    vim.cmd("botright vnew")
    vim.bo.buftype, vim.bo.bufhidden, vim.bo.swapfile = "nofile", "wipe", false
    vim.bo.filetype = answer.format
    vim.api.nvim_buf_set_lines(0, 0, -1, false, vim.split(answer.text, "\n"))
  end)
end

-- How a recipe is run: as the server is started, with the same options. Nothing if that is not known.
local function run_command(path)
  if type(options.cmd) ~= "table" then
    return nil
  end
  local command, found = {}, false
  for _, word in ipairs(options.cmd) do
    if word == "lsp" and not found then
      word, found = "run", true
    end
    -- This only means something to a server.
    if word ~= "--stdio" then
      table.insert(command, word)
    end
  end
  -- A name that begins with a dash is no option.
  return found and vim.list_extend(command, { "--", path }) or nil
end

-- Runs a recipe on the embedded broker in a terminal. The lens above `start` does that as well.
function M.run(path)
  local command, root = run_command(path), root_of(path)
  if path == "" or not command then
    local why = path == "" and "only recipes in files are run" or "`cmd` of setup has no `lsp` that could become `run`"
    vim.notify("zrecipe: " .. why, vim.log.levels.ERROR)
    return
  end
  -- A run starts the programs that contracts of the workspace name.
  local question = "Run the programs that " .. root .. " names?"
  if not options.trusted then
    local answer = vim.fn.confirm(question, "&Run\n&Cancel", 2)
    -- Else Neovim waits for a key to clear the question away.
    vim.cmd("redraw")
    if answer ~= 1 then
      return
    end
  end
  -- What is run is what is seen.
  local buffer = vim.fn.bufadd(path)
  if vim.bo[buffer].modified then
    vim.api.nvim_buf_call(buffer, function()
      vim.cmd("write")
    end)
  end
  vim.cmd("botright new")
  vim.fn.termopen(command, { cwd = root })
end

function M.setup(given)
  options = vim.tbl_deep_extend("force", defaults, given or {})
  vim.lsp.commands["zrecipe.showGraph"] = function()
    M.graph("text")
  end
  vim.lsp.commands["zrecipe.run"] = function(command)
    M.run(vim.uri_to_fname(command.arguments[1]))
  end
  vim.api.nvim_create_user_command("ZrecipeGraph", function(command)
    M.graph(command.args ~= "" and command.args or "text")
  end, { nargs = "?", desc = "Show the graph of this recipe" })
  vim.api.nvim_create_user_command("ZrecipeRun", function()
    M.run(vim.api.nvim_buf_get_name(0))
  end, { desc = "Run this recipe on the embedded broker" })
  vim.api.nvim_create_autocmd("FileType", {
    group = vim.api.nvim_create_augroup("zrecipe", { clear = true }),
    pattern = { "json", "yaml", "toml", "conf" },
    callback = function(event)
      M.attach(event.buf)
    end,
  })
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) then
      M.attach(buffer)
    end
  end
end

return M
