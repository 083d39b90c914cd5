;;; zrecipe.el --- Zocalo recipes with Eglot  -*- lexical-binding: t; -*-

;; Package-Requires: ((emacs "29.1"))

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

(defun zrecipe--contact (&rest _)
  "How Eglot reaches the server."
  (append zrecipe-command
          (list :initializationOptions (list :trusted (if zrecipe-trusted t :json-false)))))

(defun zrecipe-project (directory)
  "The project of DIRECTORY: the nearest one above with a `zrecipe.toml'."
  (when-let ((root (locate-dominating-file directory "zrecipe.toml")))
    (cons 'transient root)))

(add-hook 'project-find-functions #'zrecipe-project)
(add-to-list 'eglot-server-programs
             '((js-json-mode json-mode json-ts-mode yaml-mode yaml-ts-mode) . zrecipe--contact))

(defun zrecipe-graph (format)
  "Show the graph of this recipe in a FORMAT of `zrecipe graph'."
  (interactive (list (completing-read "Format: " '("svg" "mermaid" "dot") nil t nil nil "svg")))
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
