;;; emacs.el --- Opens a recipe in Emacs as a user does  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run by `emacs --batch' in a workspace with `recipes/demo.json'; `ZRECIPE' is the program and `ZRECIPE_EDITOR' the
;; configuration of Emacs.  Writes what it has seen to `seen.json'.

;;; Code:

;; What the README says to put into `init.el', word for word.
(package-initialize)
(with-temp-buffer
  (insert-file-contents (expand-file-name "README.md" (getenv "ZRECIPE_EDITOR")))
  (search-forward "```elisp\n")
  (delete-region (point-min) (point))
  (search-forward "```")
  (delete-region (match-beginning 0) (point-max))
  (goto-char (point-min))
  (search-forward "/path/to/zrecipe/editors/emacs")
  (replace-match (getenv "ZRECIPE_EDITOR") t t)
  (eval-buffer))
(require 'flymake)
(require 'json)

(setq zrecipe-command (list (getenv "ZRECIPE") "lsp")
      eglot-autoshutdown t
      eglot-sync-connect t)

;; As the package `yaml-mode' has it.
(unless (fboundp 'yaml-mode)
  (define-derived-mode yaml-mode text-mode "YAML")
  (add-to-list 'auto-mode-alist '("\\.ya?ml\\'" . yaml-mode)))

(defun seen-open (file)
  "Open FILE and let Emacs do what it does before the next key; say which program serves it."
  (find-file file)
  (run-hooks 'post-command-hook)
  (when (eglot-managed-p)
    (file-name-nondirectory (car (process-command (jsonrpc--process (eglot-current-server)))))))

(defun seen-await (what condition)
  "Wait until CONDITION holds; say WHAT was waited for in vain."
  (let ((left 600))
    (while (not (funcall condition))
      (when (zerop (setq left (1- left)))
        (error "Emacs waited in vain until %s" what))
      (accept-process-output nil 0.1))))

(defun seen-diagnostics ()
  "What Flymake shows: line, column in characters, rule."
  (mapcar (lambda (shown)
            (save-excursion
              (goto-char (flymake-diagnostic-beg shown))
              (list (line-number-at-pos)
                    (1+ (- (point) (line-beginning-position)))
                    (let ((text (flymake-diagnostic-text shown)))
                      (if (string-match "\\[\\([a-z0-9-]+\\)\\]" text) (match-string 1 text) text)))))
          (flymake-diagnostics)))

(defvar seen-file (expand-file-name "seen.json"))

;; Outside of a project the server is not started, whatever the file is.
(defvar seen-outside (make-temp-file "outside" t))
(dolist (name '("a.json" "b.yml"))
  (copy-file "recipes/demo.json" (expand-file-name name seen-outside)))
(defvar seen-served
  (let ((here default-directory))
    (mapcar (lambda (file) (seen-open (expand-file-name file here)))
            (list (expand-file-name "a.json" seen-outside) (expand-file-name "b.yml" seen-outside)
                  "recipes/script.js" "recipes/more.yml" "recipes/demo.json"))))
(delete-directory seen-outside t)
(flymake-mode 1)
(flymake-start)
(seen-await "findings are shown" #'flymake-diagnostics)
(let ((shown (seen-diagnostics)) renamed drawn)
  (goto-char (point-min))
  (search-forward "\"2\":")
  (backward-char 2)
  (eglot-rename "7")
  (setq renamed (buffer-substring-no-properties (point-min) (point-max)))
  (zrecipe-graph "svg")
  (setq drawn (with-current-buffer "*zrecipe graph*" (buffer-string)))
  (with-temp-file seen-file
    (insert (json-encode `((served . ,(vconcat seen-served))
                           (diagnostics . ,(vconcat (mapcar #'vconcat shown)))
                           (renamed . ,renamed)
                           (drawn . ,(substring-no-properties drawn)))))))
(set-buffer-modified-p nil)
(call-interactively #'eglot-shutdown)
;;; emacs.el ends here
