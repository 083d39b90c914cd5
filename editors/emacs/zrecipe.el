;;; zrecipe.el --- Zocalo recipes with Eglot  -*- lexical-binding: t; -*-

;; Package-Requires: ((emacs "28.1") (eglot "1.9"))

;;; Commentary:

;; Starts `zrecipe lsp' for recipes and configurations of Zocalo; Eglot is part of Emacs since version 29.

;;; Code:

(require 'eglot)
(require 'project)

(defgroup zrecipe nil
  "Recipes and configurations of Zocalo."
  :group 'tools)

(defcustom zrecipe-command '("zrecipe" "lsp")
  "How the server is started."
  :type '(repeat string))

(defcustom zrecipe-trusted nil
  "Whether the files that a workspace names count where they are outside of it."
  :type 'boolean)

(defconst zrecipe--modes
  ;; Before Emacs 29 JSON is read in `js-mode', and modes for it are derived from that.
  `((,(if (fboundp 'js-json-mode) 'js-json-mode 'js-mode) :language-id "json")
    (json-mode :language-id "json")
    (json-ts-mode :language-id "json")
    (yaml-mode :language-id "yaml")
    (yaml-ts-mode :language-id "yaml"))
  "The modes of the files that the server knows, as in `eglot-server-programs'.")

(defun zrecipe--contact (&rest _)
  "How Eglot reaches the server."
  (append zrecipe-command
          (list :initializationOptions (list :trusted (if zrecipe-trusted t :json-false)))))

(defun zrecipe-project (directory)
  "The project of DIRECTORY: the nearest one above with a `zrecipe.toml'."
  (when-let ((root (locate-dominating-file directory "zrecipe.toml")))
    (cons 'transient root)))

(add-hook 'project-find-functions #'zrecipe-project)

(defun zrecipe-ensure ()
  "Have this file served by the server of its project, if it is in one.
Other files are left to the servers that Eglot has for them."
  (when (and buffer-file-name
             ;; The hook of a mode and that of the one it is derived from run both.
             (not (local-variable-p 'eglot-server-programs))
             (or (not (eq major-mode 'js-mode)) (string-suffix-p ".json" buffer-file-name))
             (zrecipe-project default-directory))
    (setq-local eglot-server-programs (cons (cons zrecipe--modes #'zrecipe--contact) eglot-server-programs))
    (eglot-ensure)))

(defun zrecipe-setup ()
  "Serve the JSON and YAML files of projects: directories with a `zrecipe.toml'."
  (pcase-dolist (`(,mode . ,_) zrecipe--modes)
    (add-hook (intern (format "%s-hook" mode)) #'zrecipe-ensure)))

(defun zrecipe-graph (format)
  "Show the graph of this recipe in a FORMAT of `zrecipe graph'."
  (interactive (list (completing-read "Format: " '("svg" "text" "mermaid" "dot" "html") nil t nil nil
                                      (if (image-type-available-p 'svg) "svg" "text"))))
  ;; The server draws what it knows: first it has to hear of the last edits.
  (eglot--signal-textDocument/didChange)
  (let* ((answer (jsonrpc-request (eglot--current-server-or-lose) :zrecipe/graph
                                  (list :textDocument (eglot--TextDocumentIdentifier) :format format)))
         (buffer (get-buffer-create "*zrecipe graph*")))
    (with-current-buffer buffer
      (fundamental-mode)
      (let ((inhibit-read-only t))
        (erase-buffer)
        (insert (plist-get answer :text))
        (goto-char (point-min)))
      (when (and (string= format "svg") (image-type-available-p 'svg))
        (image-mode)))
    (display-buffer buffer)))

(provide 'zrecipe)
;;; zrecipe.el ends here
