-- The roles of the portal. Run once as a superuser; running it again changes nothing.
-- Then give each of the three that sign in a password (\password portal_owner ...), and create the database:
--   CREATE DATABASE portal OWNER portal_owner TEMPLATE template0 ENCODING 'UTF8'
--     LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';     -- before PostgreSQL 17: LOCALE 'C.UTF-8'
-- The embedded server runs this same file, so that what a role may not do is true everywhere.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['portal_owner', 'portal_web', 'portal_worker', 'portal_staff'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
    END LOOP;
END
$$;

-- Owns the tables and migrates them. CREATEDB and CREATEROLE serve the demo's stand-in systems; production may leave them out.
ALTER ROLE portal_owner LOGIN NOSUPERUSER NOREPLICATION NOBYPASSRLS CREATEDB CREATEROLE;
-- The web process: sees the signed-in person's rows only.
ALTER ROLE portal_web LOGIN NOSUPERUSER NOREPLICATION NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT;
-- What the web process becomes for a signed-in member of staff. Nobody signs in as it.
ALTER ROLE portal_staff NOLOGIN NOSUPERUSER NOREPLICATION NOBYPASSRLS NOCREATEDB NOCREATEROLE;
-- Workers and beat.
ALTER ROLE portal_worker LOGIN NOSUPERUSER NOREPLICATION NOBYPASSRLS NOCREATEDB NOCREATEROLE;

GRANT portal_staff TO portal_web;
